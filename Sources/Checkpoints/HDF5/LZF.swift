import TensorCore

/// The decompressor of LibLZF, which h5py's `compression='lzf'` applies.
enum LZF {
  /// Decompresses `stored`, which must give exactly the bytes of `target`.
  static func decompress(_ stored: Span<UInt8>, into target: inout MutableSpan<UInt8>) throws(EmbedFuseError)
  {
    var (input, output) = (0, 0)
    while input < stored.count {
      let control = Int(stored[input])
      input += 1
      if control < 32 {
        // A run of literal bytes.
        let count = control + 1
        guard input + count <= stored.count, output + count <= target.count else { throw damaged }
        for step in 0..<count { target[output + step] = stored[input + step] }
        input += count
        output += count
      } else {
        // A copy of what came before, perhaps of what it writes itself.
        var count = control >> 5 + 2
        if control >> 5 == 7 {
          guard input < stored.count else { throw damaged }
          count += Int(stored[input])
          input += 1
        }
        guard input < stored.count else { throw damaged }
        let start = output - (control & 31) << 8 - Int(stored[input]) - 1
        input += 1
        guard start >= 0, output + count <= target.count else { throw damaged }
        for step in 0..<count { target[output + step] = target[start + step] }
        output += count
      }
    }
    guard output == target.count else { throw damaged }
  }

  private static var damaged: EmbedFuseError {
    EmbedFuseError(
      .badData, "the LZF data is damaged")
  }
}
