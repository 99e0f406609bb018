import EmbedFuse
import Glibc

/// The files, in memory, that hold what the fuzzer tries.
public enum FuzzInput {
  /// A folder in memory for what must have a name; `Fuzz/run` removes it.
  public static let folder: String = {
    if let given = getenv("FUZZ_FOLDER") { return String(cString: given) }
    var name = Array("/dev/shm/embedfuse-fuzz-XXXXXX".utf8CString)
    return mkdtemp(&name).map { String(cString: $0) }!
  }()

  /// A file without a name.
  private static let descriptor: Int32 = {
    var name = Array("\(folder)/input-XXXXXX".utf8CString)
    let descriptor = mkstemp(&name)
    unlink(name)
    return descriptor
  }()

  /// Fills the file without a name with bytes.
  ///
  /// - Returns: a path that leads to it.
  public static func file(holding bytes: UnsafeRawBufferPointer) -> String {
    fill(descriptor, with: bytes)
    return "/proc/self/fd/\(descriptor)"
  }

  /// A name in the folder that leads to the file without one: what it is read as depends on its ending.
  public static func link(_ name: String) -> String {
    let path = "\(folder)/\(name)"
    symlink("/proc/self/fd/\(descriptor)", path)
    return path
  }

  /// Writes a file of the folder, and the folders that lead to it.
  public static func write(_ bytes: [UInt8], to name: String) {
    let path = "\(folder)/\(name)"
    var file = open(path, O_WRONLY | O_CREAT, 0o644)
    if file < 0 {
      var parent = folder
      for part in name.split(separator: "/").dropLast() {
        parent += "/\(part)"
        mkdir(parent, 0o755)
      }
      file = open(path, O_WRONLY | O_CREAT, 0o644)
    }
    bytes.withUnsafeBytes { fill(file, with: $0) }
    close(file)
  }

  private static func fill(_ descriptor: Int32, with bytes: UnsafeRawBufferPointer) {
    if !bytes.isEmpty {
      let done = pwrite(descriptor, bytes.baseAddress!, bytes.count, 0)
      precondition(done == bytes.count, "the folder for the fuzzer's files is full")
    }
    // After that, so that the pages which a file has are used again.
    ftruncate(descriptor, off_t(bytes.count))
  }

  /// Room for values; the fuzzer tries one input at a time.
  nonisolated(unsafe) private static var buffer = [UInt8](repeating: 0, count: 64 << 10)

  /// Reads the values of the first tensors in blocks, of each up to a limit.
  public static func read(_ tensors: [StoredTensor]) throws {
    for tensor in tensors.prefix(64) {
      let count = tensor.info.shape.elementCount
      // Of packed types a range starts and ends at bytes.
      let length = (buffer.count * 8 / tensor.info.elementType.bitWidth) & ~7
      var start = 0
      while start < min(count, 4 * length) {
        let end = min(start + length, count)
        var span = buffer.mutableSpan
        try tensor.storage.read(start..<end, into: &span)
        start = end
      }
    }
  }

  /// A safetensors file of zeros: each line of the text names a tensor and its extents, `encoder.weight 4 8`.
  public static func safetensors(_ lines: some Collection<UInt8>) -> [UInt8] {
    var tensors = JSON.Object()
    var end = 0
    for line in String(decoding: lines, as: UTF8.self).split(separator: "\n").prefix(64) {
      let words = line.split(separator: " ")
      let extents = words.dropFirst().prefix(4).compactMap { Int($0) }.map { min(max($0, 0), 64) }
      let size = 4 * extents.reduce(1, *)
      guard let name = words.first, end + size <= 1 << 16, tensors[String(name)] == nil else { continue }
      tensors[String(name)] = [
        "dtype": "F32", "shape": .array(extents.map { .number($0) }),
        "data_offsets": [.number(end), .number(end + size)],
      ]
      end += size
    }
    return safetensors(header: Array(JSON.object(tensors).compactText.utf8), byteCount: end)
  }

  /// A safetensors file with a header's text and so many bytes of values.
  public static func safetensors(header: [UInt8], byteCount: Int) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header
      + [UInt8](repeating: 0, count: byteCount)
  }
}
