import Foundation
import Synchronization
import TensorCore

@testable import Checkpoints

/// Tensors with values, to be written and read back.
struct HDF5Sample: Sendable {
  var tensors: [TensorInfo] = []
  var values: [[UInt8]] = []

  /// Adds a tensor whose floating-point exponents vary little, as those of weights do.
  mutating func add(_ name: String, _ type: ElementType, _ dimensions: [UInt], random: Bool = false) {
    let info = TensorInfo(name: name, elementType: type, shape: Shape(dimensions)!)!
    var state = UInt64(tensors.count + 1)
    let width = max(1, info.elementType.byteWidth ?? 1)
    var bytes = [UInt8](repeating: 0, count: info.byteCount)
    var index = 0
    while index < bytes.count {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      bytes[index] = UInt8(truncatingIfNeeded: state >> 56)
      if !random, type == .bool { bytes[index] &= 1 }
      if !random, type != .bool, index % width == width - 1 { bytes[index] = 0x3C | bytes[index] & 0x83 }
      index += 1
    }
    values.append(bytes)
    tensors.append(info)
  }

  /// Every element type, and shapes that are hard to cut.
  static let everything: HDF5Sample = {
    var sample = HDF5Sample()
    for type in ElementType.allCases {
      sample.add("types.\(type.name.lowercased())", type, [24, 1000])
      sample.add("small.\(type.name.lowercased())", type, [8])
    }
    sample.add("scalar", .f32, [])
    sample.add("empty", .f32, [0, 7])
    sample.add("empty.huge", .f32, [0, 1 << 56])
    sample.add("vector", .f32, [700_001])
    sample.add("long.rows", .f32, [3, 65_537])
    sample.add("very.long.rows", .f16, [3, 1_100_000])
    sample.add("packed.odd", .f6E2M3, [200_004, 3])
    sample.add("packed.long", .f4, [3, 1_000_002])
    sample.add("conv", .f32, [96, 3, 33, 17])
    sample.add("experts", .bf16, [5, 413, 999])
    sample.add("noise", .f32, [300, 1000], random: true)
    sample.add("2_Dense/linear.weight", .f32, [64, 384])
    sample.add("2_Dense/linear.bias", .f32, [64])
    sample.add("a//./b%\0", .f32, [3])
    sample.add("vector/below", .f32, [2000])
    sample.add(".", .f32, [2])
    sample.add("__files__/config.json", .u8, [2])
    sample.add("__delta__/version", .f32, [300])
    return sample
  }()

  /// Writes them as a merge does: workers take the runs in order, of as many elements as another writer asks for, if there
  /// is another.
  func write(
    to path: String, threads: Int = 2, runLength: ((TensorInfo) -> Int)? = nil,
    metadata: KeyValuePairs<String, String> = [:],
    compression: ChunkCompression = .weights, files: [String: [UInt8]] = [:], heldBack: Int = 16,
    relativeTo base: DeltaBase? = nil
  ) throws {
    try? FileManager.default.removeItem(atPath: path)
    let writer = try HDF5Writer(
      creating: path, tensors: tensors, metadata: metadata, compression: compression, heldBack: heldBack,
      relativeTo: base)
    let runs = tensors.indices.flatMap { tensor in
      let length = runLength?(tensors[tensor]) ?? writer.runLength(of: tensor)
      return BlockGrid(tensors[tensor]).runs(of: length).map { (tensor, $0) }
    }
    let next = Atomic(0)
    let failure = Mutex<(any Error)?>(nil)
    DispatchQueue.concurrentPerform(iterations: threads) { _ in
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        guard index < runs.count else { return }
        let (tensor, run) = runs[index]
        let bits = tensors[tensor].elementType.bitWidth
        let bytes = Array(values[tensor][run.lowerBound * bits / 8..<run.upperBound * bits / 8])
        do { try writer.write(bytes.span, of: tensor, at: run) } catch {
          failure.withLock { $0 = error }
          return
        }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
    for (name, bytes) in files { try writer.add(file: name, bytes: bytes) }
    try writer.finish()
  }
}

extension HDF5Sample {
  /// Everything that a file holds, read in pieces that don't follow its chunks.
  init(reading path: String) throws {
    let checkpoint = try Checkpoint.openHDF5(at: path)
    tensors = checkpoint.tensors.map(\.info)
    values = try checkpoint.tensors.map { try $0.values() }
  }
}

extension StoredTensor {
  /// All values, read in pieces of 100,000 elements.
  func values() throws -> [UInt8] {
    var result: [UInt8] = []
    for start in stride(from: 0, to: info.shape.elementCount, by: 100_000) {
      let range = start..<min(start + 100_000, info.shape.elementCount)
      let size =
        info.elementType.byteCount(ofElements: range.upperBound)
        - info.elementType.byteCount(ofElements: range.lowerBound)
      var part = [UInt8](repeating: 0xAA, count: size)
      var span = part.mutableSpan
      try storage.read(range, into: &span)
      result += part
    }
    return result
  }
}
