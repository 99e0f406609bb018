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
      if let place = place(of: exact) {
        let old = members[place].value
        members[place].value = value
        return old
      }
      members.append(Member(key: key, value: value))
      if members.count == Self.linearSearchLimit + 1 {
        indexMembers()
      } else if members.count > Self.linearSearchLimit {
        places[exact] = members.count - 1
      }
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
