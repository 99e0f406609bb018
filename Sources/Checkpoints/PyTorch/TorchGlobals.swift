/// What torch's weights-only loader lets a pickle name: the list of torch 2.15, `torch.serialization`'s defaults.
enum TorchGlobals {
  private static let others: Set<String> = [
    "_codecs.encode", "builtins.bytearray", "builtins.complex", "builtins.set", "collections.Counter",
    "collections.OrderedDict", "torch.Size", "torch.Tensor", "torch.device", "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout", "torch.storage.TypedStorage", "torch.storage.UntypedStorage",
    "torch._tensor._rebuild_from_type_v2", "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    "torch._utils._rebuild_device_tensor_from_numpy", "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_qtensor", "torch._utils._rebuild_sparse_tensor", "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_wrapper_subclass", "torch.per_channel_affine",
    "torch.per_channel_affine_float_qparams", "torch.per_channel_symmetric", "torch.per_tensor_affine",
    "torch.per_tensor_symmetric", "torch.QInt32Storage", "torch.QInt8Storage", "torch.QUInt2x4Storage",
    "torch.QUInt4x2Storage", "torch.QUInt8Storage", "torch.BoolTensor", "torch.cuda.BoolTensor",
  ]

  /// The types that have a class of storages, and classes of tensors.
  private static let typedPrefixes = [
    "BFloat16", "Bool", "Byte", "Char", "ComplexDouble", "ComplexFloat", "Double", "Float", "Half", "Int",
    "Long", "Short",
  ]

  private static let elementTypes: Set<String> = [
    "bcomplex32", "bfloat16", "bits16", "bits1x8", "bits2x4", "bits4x2", "bits8", "bool", "complex128",
    "complex32", "complex64", "float16", "float32", "float4_e2m1fn_x2", "float64", "float8_e4m3fn",
    "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "int1", "int16", "int2", "int3",
    "int32", "int4", "int5", "int6", "int64", "int7", "int8", "qint32", "qint8", "quint2x4", "quint4x2",
    "quint8", "uint1", "uint16", "uint2", "uint3", "uint32", "uint4", "uint5", "uint6", "uint64", "uint7",
    "uint8",
  ]

  /// True if torch loads a pickle that names this with `weights_only=True`.
  static func isAllowed(_ name: String) -> Bool {
    if others.contains(name) { return true }
    guard name.hasPrefix("torch.") else { return false }
    let rest = name.dropFirst("torch.".count)
    if elementTypes.contains(String(rest)) { return true }
    let last = rest.split(separator: ".").last ?? ""
    let module = rest.dropLast(last.count)
    guard let prefix = typedPrefixes.first(where: { last == $0 + "Storage" || last == $0 + "Tensor" }) else {
      return false
    }
    if last.hasSuffix("Storage") { return module == "" || module == "cuda." }
    // Neither sparse booleans nor complex tensors have a class.
    guard !prefix.hasPrefix("Complex") else { return false }
    return module == "" || module == "cuda."
      || prefix != "Bool" && (module == "sparse." || module == "cuda.sparse.")
  }

  /// Names that say nothing about what was left unread: those of every checkpoint of tensors.
  static func isOrdinary(_ name: String) -> Bool {
    isAllowed(name) || name == "collections.defaultdict" || name == "builtins.dict"
      || name == "builtins.frozenset" || name == "builtins.list" || name == "builtins.tuple"
  }
}
