extension JSON {
  /// The members of an object, in order, found by key in constant time.
  public struct Object: Sendable, ExpressibleByDictionaryLiteral {
    /// The members as they stand in the text.
    public private(set) var members: [Member] = []
    // Empty as long as a linear search is as fast.
    private var places: [ExactString: Int] = [:]
    private static let linearSearchLimit = 8

    /// A key with its value.
    public struct Member: Sendable, Hashable {
      /// The key.
      public let key: String
      /// The value.
      public var value: JSON
    }

    /// No members.
    public init() {}

    /// No members yet, with room for so many.
    public init(minimumCapacity count: Int) {
      members.reserveCapacity(count)
      if count > Self.linearSearchLimit { places.reserveCapacity(count) }
    }

    /// Members in the order of the literal; the last of equal keys wins.
    public init(dictionaryLiteral elements: (String, JSON)...) {
      for (key, value) in elements { self[key] = value }
    }

    /// The value of a key; a new key goes to the end, nil removes one.
    public subscript(key: String) -> JSON? {
      get { place(of: ExactString(key)).map { members[$0].value } }
      set {
        if let newValue {
          updateValue(newValue, forKey: key)
        } else if let place = place(of: ExactString(key)) {
          members.remove(at: place)
          places = [:]
          if members.count > Self.linearSearchLimit { indexMembers() }
        }
      }
    }

    /// Sets the value of a key and returns the one that it replaces; a new key goes to the end.
    @discardableResult
    public mutating func updateValue(_ value: JSON, forKey key: String) -> JSON? {
      let exact = ExactString(key)
      let known: Int?
      if members.count > Self.linearSearchLimit {
        // Nearly every key is new.
        known = places.updateValue(members.count, forKey: exact)
        if let known { places[exact] = known }
      } else {
        known = place(of: exact)
      }
      if let known {
        let old = members[known].value
        members[known].value = value
        return old
      }
      members.append(Member(key: key, value: value))
      if members.count == Self.linearSearchLimit + 1 { indexMembers() }
      return nil
    }

    /// The keys in order.
    public var keys: [String] { members.map(\.key) }

    private func place(of key: ExactString) -> Int? {
      if members.count > Self.linearSearchLimit { return places[key] }
      return members.firstIndex { ExactString($0.key) == key }
    }

    private mutating func indexMembers() {
      for (place, member) in members.enumerated() { places[ExactString(member.key)] = place }
    }
  }
}

extension JSON.Object: Hashable {
  /// True if both have the same members, in whatever order.
  public static func == (left: JSON.Object, right: JSON.Object) -> Bool {
    guard left.members.count == right.members.count else { return false }
    for (place, member) in left.members.enumerated() {
      // As a rule the order is the same.
      let across = right.members[place]
      let isAcross = ExactString(across.key) == ExactString(member.key)
      guard (isAcross ? across.value : right[member.key]) == member.value else { return false }
    }
    return true
  }

  /// Hashes the members, whatever their order.
  public func hash(into hasher: inout Hasher) {
    var sum = 0
    for member in members {
      var memberHasher = Hasher()
      memberHasher.combine(ExactString(member.key))
      memberHasher.combine(member.value)
      sum &+= memberHasher.finalize()
    }
    hasher.combine(sum)
  }
}
