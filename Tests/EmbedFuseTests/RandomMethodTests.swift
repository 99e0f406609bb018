import EmbedFuse
import Fusion
import Kernels
import TestSupport
import Testing

/// DARE and DELLA against the statistics of mergekit 0.1.5 (fixtures/golden/random_methods.json): how often each element
/// is kept, and what becomes of it.
@Suite struct RandomMethodTests {
  /// One case: its name, method, density, ε and shape.
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let method: String
    let density: Double
    let epsilon: Double?
    let testDescription: String
  }

  static let cases: [Case] = {
    guard let bytes = try? InputFileBytes.read(Fixtures.path("golden/random_methods.json")),
      let json = try? JSON.parse(String(decoding: bytes, as: UTF8.self))
    else { return [] }
    return (json["stats"]?.arrayValue ?? []).compactMap { entry in
      guard let name = entry["name"]?.stringValue, let method = entry["method"]?.stringValue,
        let density = entry["density"]?.doubleValue
      else { return nil }
      return Case(
        name: name, method: method, density: density, epsilon: entry["epsilon"]?.doubleValue,
        testDescription: name)
    }
  }()

  static let deltas = try! TensorValues(Fixtures.path("golden/inputs/random_deltas.safetensors"))

  /// What is kept of the deltas, on a base of zeros, with this seed: scaled, as the method does.
  static func kept(_ test: Case, seed: UInt64) throws -> (input: [Double], output: [Double]) {
    let name = test.name.hasSuffix("2d") ? "w0" : "b0"
    let (info, bytes) = deltas.tensors[name]!
    let type = FusionMethods.named(test.method)!
    let method = try type.init(MethodOptions(seed: seed))
    var parameters: [String: [Double]] = [:]
    for parameter in type.description.parameters where parameter.scope != .method {
      parameters[parameter.name] = [parameter.number(for: parameter.standard!)!]
    }
    parameters["density"] = [test.density]
    if let epsilon = test.epsilon { parameters["epsilon"] = [epsilon] }
    let context = TensorContext(
      index: 0, name: name, shape: info.shape, layer: "", priors: [1], parameters: parameters)
    let input = BlockInput(path: "", tensor: name, elementType: .f32)
    let block = FusionBlock(
      tensor: context, range: 0..<info.shape.elementCount, inputs: [input, input], hasBase: true)
    let zeros = [UInt8](repeating: 0, count: bytes.count)
    var runner = BlockRunner(method, nonFinite: .error)
    var known = Known()
    for stage in method.stages(for: context).indices {
      let results = try runner.results(of: stage, over: block, bytes: [zeros, bytes], known: known)
      known[stage] = method.conclude(stage: stage, results: results, in: context, known: known)
    }
    var output = [UInt8](repeating: 0, count: 8 * info.shape.elementCount)
    var tally = BlockTally(modelCount: 1)
    try runner.fuse(
      block, bytes: [zeros, bytes], known: known, as: .f64, into: &output, tally: &tally)
    var values = [Double](repeating: 0, count: info.shape.elementCount)
    var span = values.mutableSpan
    _ = widen(output.span, as: .f64, into: &span)
    return (deltas.doubles(name), values)
  }

  @Test func casesAreHere() { #expect(Self.cases.count == 12) }

  @Test(arguments: cases) func keepsAsOftenAsMergekit(test: Case) throws {
    let seeds = 1500
    let probabilities = Self.deltas.doubles("\(test.name).keep_probability")
    var counts = [Int](repeating: 0, count: probabilities.count)
    for seed in 0..<seeds {
      let (input, output) = try Self.kept(test, seed: UInt64(seed))
      var scales: [Double] = []
      for (i, value) in output.enumerated() where value != 0 {
        counts[i] += 1
        scales.append(value / input[i])
      }
      // What is kept is multiplied by one factor, which keeps the sum of the sizes.
      guard let first = scales.first else { continue }
      let isOne = scales.allSatisfy { abs($0 - first) <= 1e-12 * first }
      #expect(isOne)
      let whole = input.reduce(0) { $0 + abs($1) }
      let kept = output.reduce(0) { $0 + abs($1) }
      // DELLA with normalisation divides by a weight of 1.
      #expect(abs(kept - whole) <= 1e-9 * whole)
    }
    // Of so many elements the worst deviation is below five standard deviations, the mean below four.
    var worst = 0.0
    for (count, p) in zip(counts, probabilities) {
      let deviation = (Double(seeds) * p * (1 - p)).squareRoot()
      worst = max(worst, abs(Double(count) - Double(seeds) * p) / deviation)
    }
    #expect(worst < 5)
    let mean = Double(counts.reduce(0, +)) / Double(seeds)
    let expected = probabilities.reduce(0, +)
    let deviation = (probabilities.reduce(0) { $0 + $1 * (1 - $1) } / Double(seeds)).squareRoot()
    #expect(abs(mean - expected) < 4 * deviation)
  }

  @Test func thePapersDareDividesByTheDensity() throws {
    let (input, output) = try Self.kept(
      Case(name: "dare_2d", method: "dare", density: 0.25, epsilon: nil, testDescription: ""), seed: 3)
    let wrong = zip(input, output).count { $1 != 0 && $1 != 4 * $0 }
    #expect(wrong == 0)
    #expect(output.contains { $0 != 0 })
  }

  /// Models draw from streams of their own, and so do tensors.
  @Test func streamsAreIndependent() {
    func context(_ name: String) -> TensorContext {
      TensorContext(index: 0, name: name, shape: Shape([4])!, layer: "", priors: [1, 1])
    }
    let keys = ["a", "b", "ab", "ba", ""].flatMap { name in
      [0, 1].flatMap { model in [0, 1].map { context(name).randomKey(seed: $0, model: model) } }
    }
    #expect(Set(keys).count == keys.count)
    // Two streams agree no more often than chance has it.
    let agreeing = (0..<10_000).count {
      (randomNumber(key: keys[0], place: $0) < 0.5) == (randomNumber(key: keys[1], place: $0) < 0.5)
    }
    #expect(abs(agreeing - 5000) < 250)
  }
}

/// The bytes of a file.
enum InputFileBytes {
  static func read(_ path: String) throws -> [UInt8] {
    let file = try InputFile(path)
    return try file.bytes(0..<file.byteCount)
  }
}
