import TensorCore

/// A tensor as a checkpoint of torch describes it: a view of a storage.
struct TorchTensor: Sendable, Hashable {
  /// A storage as the pickle refers to it.
  struct Storage: Sendable, Hashable {
    /// The class, such as `torch.FloatStorage`.
    let storageClass: String
    /// The name by which the file knows it.
    let key: String
    /// Elements of its class; bytes of an untyped storage.
    let count: Int
    /// Elements before it of what the file stores under the key, of which it may be a part (torch before 1.6).
    let start: Int
    /// Elements of all that the file stores under the key.
    let storedCount: Int

    /// Bytes of an element; nil for a class that is unknown.
    var byteWidth: Int? { TorchElementType.byteWidth(ofStorageClass: storageClass) }
    /// True if it knows only bytes.
    var isUntyped: Bool { storageClass == "torch.storage.UntypedStorage" }
  }

  let storage: Storage
  let elementType: ElementType
  /// Extents in units of storage: bytes for the packed F4.
  let extents: [Int]
  /// Elements from one index to the next along each axis; 0 where the extent is 0 or 1, so that equal views are equal.
  let strides: [Int]
  /// Elements of the storage before its first.
  let offset: Int

  /// The shape that it has as a tensor; nil if it is too large.
  var shape: Shape? {
    var dimensions = extents.map { UInt($0) }
    // Two values a byte: torch counts the bytes, all others count the values.
    if elementType == .f4, let last = dimensions.popLast() { dimensions.append(2 * last) }
    return Shape(dimensions)
  }

  /// Bytes of a unit of storage.
  var unitWidth: Int { elementType.byteWidth ?? 1 }

  /// Elements; the product is known not to overflow.
  var count: Int { extents.reduce(1, *) }

  /// True if its elements follow each other in row-major order.
  var isContiguous: Bool {
    var expected = 1
    for (extent, stride) in zip(extents, strides).reversed() {
      if extent == 0 { return true }
      if extent != 1, stride != expected { return false }
      expected *= extent
    }
    return true
  }

  /// Checks that it lies within its storage.
  ///
  /// - Throws: `PickleError` saying what doesn't fit.
  init(
    storage: Storage, elementType: ElementType, offset: Int, extents: [Int], strides: [Int]
  ) throws(PickleError) {
    func refuse(_ problem: String) -> PickleError { PickleError(problem: problem) }
    guard extents.count == strides.count else {
      throw refuse("has \(extents.count) extents, but \(strides.count) strides")
    }
    guard offset >= 0, extents.allSatisfy({ $0 >= 0 }), strides.allSatisfy({ $0 >= 0 }) else {
      throw refuse("has a negative extent, stride or offset: \(extents), \(strides), \(offset)")
    }
    guard storage.count >= 0, storage.start >= 0 else { throw refuse("its storage has a negative size") }
    let width = elementType.byteWidth ?? 1
    let available = storage.isUntyped ? storage.count / width : storage.count
    var count = 1
    // The index of the last element.
    var last = offset
    for (extent, stride) in zip(extents, strides) {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      let (span, spanOverflow) = max(extent - 1, 0).multipliedReportingOverflow(by: stride)
      let (sum, sumOverflow) = last.addingReportingOverflow(span)
      guard !overflow, !spanOverflow, !sumOverflow else {
        throw refuse("has extents and strides whose product overflows: \(extents), \(strides)")
      }
      (count, last) = (product, sum)
    }
    guard Shape(extents.map { UInt($0) }) != nil else {
      throw refuse("has the extents \(extents), \(Shape.excess)")
    }
    guard count == 0 || last < available else {
      throw refuse(
        "reaches element \(last) of a storage of \(available): extents \(extents), strides \(strides), offset \(offset)"
      )
    }
    self.storage = storage
    self.elementType = elementType
    self.offset = count == 0 ? 0 : offset
    self.extents = extents
    self.strides = zip(extents, strides).map { count == 0 || $0 <= 1 ? 0 : $1 }
    guard elementType != .f4 || isContiguous && !extents.isEmpty else {
      throw refuse("packs two values a byte, but its bytes don't follow each other")
    }
  }
}
