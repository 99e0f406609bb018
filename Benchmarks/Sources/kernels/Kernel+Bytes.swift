import CKernels
import Kernels
import TensorCore

@testable import Checkpoints

extension Kernel {
  /// Shuffles, differences and digests of stored bytes, and the codec of chunks.
  static var bytes: [Kernel] {
    [2, 4, 8].flatMap(shuffles) + [2, 4].flatMap(differences)
      + [
        Kernel("digest, XXH3-128", input: chunk, output: 0) { input, _ in
          SampleValues.write(CK_F32, count: chunk / 4, to: input)
        } run: { input, _ in
          _ = ContentDigest.of(buffer(input, chunk).span)
        }
      ] + [("F32", CK_F32, 4), ("BF16", CK_BF16, 2)].flatMap(codec)
  }

  private static func shuffles(width: Int) -> [Kernel] {
    let prepare = { (input: UnsafeMutableRawPointer, _: UnsafeMutableRawPointer) in
      SampleValues.write(rows: 1, count: tile * width / 8, to: input)
    }
    return [
      Kernel(
        "shuffle \(width) bytes", input: width * tile, output: width * tile, prepare: prepare
      ) { ck_shuffle($0, $1, width, 0, width, tile, tile) },
      Kernel(
        "unshuffle \(width) bytes", input: width * tile, output: width * tile, prepare: prepare
      ) { ck_unshuffle($0, $1, width, tile) },
    ]
  }

  /// The base lies beside the values.
  private static func differences(width: Int) -> [Kernel] {
    let type = width == 2 ? CK_BF16 : CK_F32
    return [
      Kernel("differences of \(width) bytes", input: 2 * width * tile, output: width * tile) { input, _ in
        SampleValues.write(type, count: 2 * tile, to: input)
      } run: { input, output in
        ck_encode_differences(input, input + width * tile, output, width, tile)
      },
      Kernel(
        "values of differences of \(width) bytes", input: width * tile, output: width * tile, inPlace: true
      ) {
        input, output in
        SampleValues.write(type, count: tile, to: input)
        SampleValues.write(type, count: tile, to: output)
      } run: { input, output in
        ck_decode_differences(output, input, width, tile)
      },
    ]
  }

  private static func codec(name: String, type: ck_type, width: Int) -> [Kernel] {
    guard let encoder = try? ChunkEncoder(.weights), let decoder = try? ChunkDecoder() else { return [] }
    let prepare = { (input: UnsafeMutableRawPointer, _: UnsafeMutableRawPointer) in
      SampleValues.write(type, count: chunk / width, to: input)
    }
    let frame = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: chunk) { room in
      prepare(UnsafeMutableRawPointer(room.baseAddress!), UnsafeMutableRawPointer(room.baseAddress!))
      return (try? encoder.encode(room.span, width: width)) ?? []
    }
    return [
      Kernel("compress a chunk of \(name)", input: chunk, output: 0, prepare: prepare) { input, _ in
        _ = try? encoder.encode(buffer(input, chunk).span, width: width)
      },
      Kernel("decompress a chunk of \(name)", input: 0, output: chunk) { _, _ in
      } run: { _, output in
        var target = buffer(output, chunk).mutableSpan
        try? decoder.decode(frame.span, filters: [.shuffle(width: width), .zstd], mask: 0, into: &target)
      },
    ]
  }

  private static func buffer(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> UnsafeMutableBufferPointer<
    UInt8
  > {
    UnsafeMutableBufferPointer(start: bytes.assumingMemoryBound(to: UInt8.self), count: count)
  }
}
