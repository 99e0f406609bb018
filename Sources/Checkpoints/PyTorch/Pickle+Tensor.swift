import TensorCore

extension Pickle {
  /// True if a value stands for a tensor, whether it can be read or not.
  func isTensor(_ value: Value) -> Bool {
    guard let call = items(of: value, .call), let function = globalName(call[0]) else { return false }
    return function.hasPrefix("torch._utils._rebuild_") || function.hasPrefix("torch._tensor._rebuild_")
  }

  /// What a value is where a tensor might stand.
  enum TensorValue {
    /// A tensor.
    case tensor(TorchTensor)
    /// A tensor of a kind that has no plain values, in words.
    case unreadable(String)
    /// Something else.
    case other
  }

  /// Calls within calls that are followed to a tensor: a parameter with attributes around a tensor is three.
  private static let callDepth = 8

  /// The tensor that a value stands for.
  ///
  /// - Throws: `PickleError` for a tensor whose description breaks the rules.
  func tensor(_ value: Value) throws(PickleError) -> TensorValue {
    var call = items(of: value, .call)
    for _ in 0..<Self.callDepth {
      guard let items = call, let function = globalName(items[0]),
        let arguments = self.items(of: items[1], .tuple)
      else { return .other }
      switch function {
      case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3":
        return try rebuilt(function, arguments)
      case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
        call = arguments.first.flatMap { self.items(of: $0, .call) }
      case "torch._tensor._rebuild_from_type_v2":
        guard arguments.count >= 3, let type = globalName(arguments[1]) else { return .other }
        guard ["torch.Tensor", "torch.nn.parameter.Parameter"].contains(type) else {
          return .unreadable(
            "is a tensor of the class \(type.printable), whose values have a meaning of their own")
        }
        call = [arguments[0], arguments[2]]
      case "torch._utils._rebuild_sparse_tensor", "torch._utils._rebuild_sparse_csr_tensor":
        return .unreadable("is a sparse tensor; only dense ones can be read")
      case "torch._utils._rebuild_qtensor":
        return .unreadable("is a quantized tensor; dequantize() it before saving")
      case "torch._utils._rebuild_meta_tensor_no_storage":
        return .unreadable("is a meta tensor: it has no values")
      case let name
      where name.hasPrefix("torch._utils._rebuild_") || name.hasPrefix("torch._tensor._rebuild_"):
        return .unreadable("is made by \(name.printable), which can't be read")
      default: return .other
      }
    }
    return .unreadable("is wrapped more than \(Self.callDepth) times")
  }

  /// The tensor of `_rebuild_tensor(storage, offset, size, stride)`; version 2 adds what says nothing of values,
  /// version 3 the dtype.
  private func rebuilt(_ function: String, _ arguments: [Value]) throws(PickleError) -> TensorValue {
    func refuse(_ problem: String) -> PickleError { PickleError(problem: problem) }
    guard arguments.count >= 4, case .int(let offset) = arguments[1],
      let extents = integers(arguments[2]), let strides = integers(arguments[3])
    else { throw refuse("is not described by a storage, an offset, extents and strides") }
    let storage = try storage(arguments[0])
    let elementType: ElementType
    if function.hasSuffix("_v3") {
      guard arguments.count >= 7, let dtype = globalName(arguments[6]) else {
        throw refuse("has no dtype where one is due")
      }
      guard storage.isUntyped else {
        throw refuse("has a dtype besides the class \(storage.storageClass.printable) of its storage")
      }
      guard let type = TorchElementType.ofDtype(dtype) else {
        return .unreadable("has the element type \(dtype.printable), which can't be read")
      }
      elementType = type
    } else {
      guard storage.byteWidth != nil, !storage.isUntyped else {
        throw refuse(
          "has a storage of the class \(storage.storageClass.printable), which tells no element type")
      }
      guard let type = TorchElementType.ofStorageClass(storage.storageClass) else {
        return .unreadable(
          "has a storage of the class \(storage.storageClass.printable), which can't be read")
      }
      elementType = type
    }
    return .tensor(
      try TorchTensor(
        storage: storage, elementType: elementType, offset: offset, extents: extents, strides: strides))
  }

  private func integers(_ value: Value) -> [Int]? {
    guard let items = sequence(value) else { return nil }
    var result: [Int] = []
    for item in items {
      guard case .int(let number) = item else { return nil }
      result.append(number)
    }
    return result
  }

  /// The storage that a persistent reference stands for: `("storage", class, key, location, count)`. The location says
  /// on which device it was, which doesn't matter here; a sixth item makes it a part of the stored one.
  func storage(_ value: Value) throws(PickleError) -> TorchTensor.Storage {
    guard let identity = items(of: value, .persistent), let items = items(of: identity[0], .tuple),
      items.count == 5 || items.count == 6, let storageClass = globalName(items[1]),
      let key = string(items[2]), case .int(let storedCount) = items[4]
    else { throw PickleError(problem: "a storage is not described by class, key, location and size") }
    var (start, count) = (0, storedCount)
    if items.count == 6, items[5] != .none {
      guard let view = sequence(items[5]), view.count == 3, case .int(let offset) = view[1],
        case .int(let size) = view[2], offset >= 0, size >= 0, offset <= storedCount,
        size <= storedCount - offset
      else { throw PickleError(problem: "a storage is a part of another, but doesn't lie within it") }
      (start, count) = (offset, size)
    }
    return TorchTensor.Storage(
      storageClass: storageClass, key: key, count: count, start: start, storedCount: storedCount)
  }
}
