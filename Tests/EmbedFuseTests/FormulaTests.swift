import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Delta-guided fusion against its formula, written down once more over whole arrays: every granularity, magnitude,
/// balance and λ.
@Suite struct FormulaTests {
  /// One tensor: its layer, the length of its rows, the base and the models.
  struct Tensor {
    let name: String
    let layer: String
    let rowLength: Int
    let base: [Double]
    let deltas: [[Double]]
  }

  /// Groups of elements: for each group the tensors' elements that it holds.
  static func groups(_ tensors: [Tensor], _ granularity: DeltaGuided.Granularity) -> [[(
    tensor: Int, elements: Range<Int>
  )]] {
    func rows(_ t: Int, _ length: Int) -> [[(Int, Range<Int>)]] {
      stride(from: 0, to: tensors[t].base.count, by: length).map { [(t, $0..<$0 + length)] }
    }
    switch granularity {
    case .element: return tensors.indices.flatMap { rows($0, 1) }
    case .row: return tensors.indices.flatMap { rows($0, tensors[$0].rowLength) }
    case .tensor: return tensors.indices.map { [($0, tensors[$0].base.indices)] }
    case .model: return [tensors.indices.map { ($0, tensors[$0].base.indices) }]
    case .layer:
      return Set(tensors.map(\.layer)).sorted().map { layer in
        tensors.indices.filter { tensors[$0].layer == layer }.map { ($0, tensors[$0].base.indices) }
      }
    }
  }

  static func norm(_ values: some Sequence<Double>) -> Double {
    values.reduce(0) { $0 + $1 * $1 }.squareRoot()
  }

  /// The fused values, tensor by tensor.
  static func fused(_ tensors: [Tensor], _ method: DeltaGuided, priors: [Double]) -> [[Double]] {
    let models = priors.indices
    // What each model's magnitudes are divided by in each tensor.
    let scales = tensors.map { tensor in
      models.map { k -> Double in
        switch method.balance {
        case .none: return 1
        case .tensor: return norm(tensor.deltas[k]) / Double(tensor.base.count).squareRoot()
        case .model:
          return norm(tensors.flatMap { $0.deltas[k] })
            / Double(tensors.reduce(0) { $0 + $1.base.count }).squareRoot()
        }
      }
    }
    var moved = tensors.map { tensor in models.map { _ in [Double](repeating: 0, count: tensor.base.count) } }
    for group in groups(tensors, method.granularity) {
      let magnitudes = models.map { k -> Double in
        let values = group.flatMap { t, range in range.map { abs(tensors[t].deltas[k][$0]) / scales[t][k] } }
        switch method.magnitude {
        case .meanAbs: return values.reduce(0, +) / Double(values.count)
        case .rms: return norm(values) / Double(values.count).squareRoot()
        case .relative:
          return group.reduce(0) { sum, part in
            let base = norm(part.elements.map { tensors[part.tensor].base[$0] })
            let delta = norm(
              part.elements.map { tensors[part.tensor].deltas[k][$0] / scales[part.tensor][k] })
            return sum + delta / (base == 0 ? 1 : base)
          } / Double(group.count)
        }
      }
      let powers = zip(magnitudes, priors).map { $1 * pow($0, method.power) }
      for (t, range) in group {
        for k in models {
          for i in range { moved[t][k][i] = powers[k] / powers.reduce(0, +) * tensors[t].deltas[k][i] }
        }
      }
    }
    func ratio(_ parts: [[Double]]) -> Double {
      let sum = parts[0].indices.map { i in parts.reduce(0) { $0 + $1[i] } }
      return norm(sum) == 0 ? 1 : parts.reduce(0) { $0 + norm($1) } / norm(sum)
    }
    let whole = ratio(models.map { k in moved.flatMap { $0[k] } })
    return zip(tensors, moved).map { tensor, parts in
      tensor.base.indices.map { i in
        let row = i / tensor.rowLength * tensor.rowLength..<(i / tensor.rowLength + 1) * tensor.rowLength
        let lambda =
          switch method.lambda {
          case .fixed(let value): value
          case .auto: whole
          case .autoTensor: ratio(parts)
          case .autoRow: ratio(parts.map { Array($0[row]) })
          }
        return tensor.base[i] + lambda * parts.reduce(0) { $0 + $1[i] }
      }
    }
  }

  static let methods: [DeltaGuided] = DeltaGuided.Granularity.allCases.flatMap { granularity in
    DeltaGuided.Magnitude.allCases.flatMap { magnitude in
      zip(
        DeltaGuided.Balance.allCases + [.model], [DeltaGuided.Lambda.fixed(1), .auto, .autoTensor, .autoRow]
      ).flatMap {
        balance, lambda in
        [-1, 0.5, 1, 2.5].map { power in
          DeltaGuided(
            granularity: granularity, magnitude: magnitude, power: power, balance: balance, lambda: lambda)
        }
      }
    }
  }

  @Test func everySettingFollowsTheFormula() async throws {
    let folder = try TemporaryFolder()
    let shapes: [(name: String, layer: String, shape: [UInt])] = [
      ("embeddings.weight", "embeddings", [5, 6]), ("encoder.layer.0.weight", "encoder.layer.0", [3, 4]),
      ("encoder.layer.0.bias", "encoder.layer.0", [4]),
      ("encoder.layer.1.weight", "encoder.layer.1", [2, 3, 2]),
    ]
    var generator = SeededGenerator(seed: 42)
    let tensors = shapes.map { name, layer, shape in
      let count = Int(shape.reduce(1, *))
      // The base of the last tensor is all zero, for the relative magnitude.
      let base = (0..<count).map { _ in layer == "encoder.layer.1" ? 0 : generator.normal() }
      // Deltas are multiples of 2^-20, so that base plus delta is exact.
      return Tensor(
        name: name, layer: layer, rowLength: Int(shape.last!),
        base: base.map { ($0 * 0x1p20).rounded() / 0x1p20 },
        deltas: (1...3).map { k in
          (0..<count).map { _ in (Double(k) * generator.normal() * 0x1p14).rounded() / 0x1p20 + 0x1p-20 }
        })
    }
    func write(_ values: (Tensor) -> [Double], to path: String) throws {
      try SafetensorsBuilder.write(
        zip(tensors, shapes).map { tensor, shape in
          let bytes = values(tensor).flatMap { value in
            (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
          }
          return (tensor.name, .f64, shape.shape, bytes)
        }, to: path)
    }
    try write({ $0.base }, to: folder("base.safetensors"))
    for k in 0..<3 {
      try write(
        { tensor in zip(tensor.base, tensor.deltas[k]).map { $0 + $1 } }, to: folder("ft\(k).safetensors"))
    }
    for method in Self.methods {
      let recipe = Recipe(
        base: folder("base.safetensors"), models: (0..<3).map { folder("ft\($0).safetensors") },
        method: .deltaGuided(method), weights: [1, 2, 0.5])
      try await FusionPlan(recipe).run(
        to: folder("out.safetensors"), options: OutputOptions(overwrite: true, synchronize: false))
      let found = try TensorValues(folder("out.safetensors"))
      for (tensor, expected) in zip(tensors, Self.fused(tensors, method, priors: [1, 2, 0.5])) {
        let largest = zip(found.doubles(tensor.name), expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(
          largest <= 1e-13,
          "\(tensor.name) is off by \(largest): \(method.granularity), \(method.magnitude), power \(method.power), balance \(method.balance), lambda \(method.lambda)"
        )
      }
    }
  }
}
