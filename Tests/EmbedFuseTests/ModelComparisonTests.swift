import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Comparisons of models with their base: figures by numpy, identities, and inputs that don't fit.
@Suite struct ModelComparisonTests {
  static let family = ["base", "retrieval", "similarity"].map { Fixtures.path("family/\($0)") }

  static func compared(
    _ models: [String] = Array(family.dropFirst()), base: String = family[0], rows: Int = 5,
    threads: Int? = nil, memory: Int = 512 << 20, replacing: Bool = false
  ) async throws -> ModelComparison {
    try await ModelComparison(
      base: base, models: models,
      options: ComparisonOptions(
        memory: memory, threads: threads, rowCount: rows, replacesNonFinite: replacing))
  }

  /// A file of F64 tensors.
  static func model(_ path: String, _ tensors: [(String, [UInt], [Double])]) throws {
    try SafetensorsBuilder.write(
      tensors.map { name, shape, values in
        let bytes = values.flatMap { value in
          (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
        }
        return (name, .f64, shape, bytes)
      }, to: path)
  }

  static func isClose(_ value: Double?, _ expected: Double?) -> Bool {
    guard let value, let expected else { return (value == nil) == (expected == nil) }
    return abs(value - expected) <= 1e-12 * max(1, abs(expected))
  }

  static func check(_ part: ModelComparison.Part, _ expected: JSON) throws {
    #expect(part.elements == expected["elements"]?.intValue)
    #expect(isClose(part.baseNorm, expected["base_norm"]?.doubleValue))
    #expect(part.contested == expected["contested"]?.intValue, "\(part.name)")
    #expect(part.conflicts == expected["conflicts"]?.intValue, "\(part.name)")
    let cosines = try #require(expected["cosines"]?.arrayValue)
    #expect(cosines.count == part.cosines.count)
    for (cosine, wanted) in zip(part.cosines, cosines) {
      #expect(isClose(cosine, wanted.doubleValue), "\(part.name)")
    }
    for (movement, wanted) in zip(part.models, try #require(expected["models"]?.arrayValue)) {
      let movement = try #require(movement)
      #expect(movement.zeros == wanted["zeros"]?.intValue)
      for (value, key) in [
        (movement.norm, "norm"), (movement.relativeNorm, "relative_norm"), (movement.rms, "rms"),
        (movement.greatest, "greatest"), (movement.sparsity, "sparsity"), (movement.weight, "weight"),
      ] {
        #expect(isClose(value, wanted[key]?.doubleValue), "\(part.name) \(key)")
      }
    }
  }

  @Test func figuresAreNumpys() async throws {
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("golden/diff.json"))))
    let golden = try JSON.parse(bytes.span, path: "diff.json")
    let comparison = try await Self.compared()
    try Self.check(comparison.total, try #require(golden["total"]))
    let layers = try #require(golden["layers"]?.objectValue)
    #expect(comparison.layers.count == layers.members.count)
    for layer in comparison.layers { try Self.check(layer, try #require(layers[layer.name])) }
    let tensors = try #require(golden["tensors"]?.objectValue)
    #expect(comparison.tensors.count == tensors.members.count)
    for tensor in comparison.tensors { try Self.check(tensor, try #require(tensors[tensor.name])) }
    let words = try #require(comparison.tables.first { $0.tensor.contains("word_embeddings") })
    let rows = try #require(golden["rows"]?.arrayValue)
    #expect(words.rows.map(\.index) == rows.map { $0["index"]?.intValue })
    for (row, wanted) in zip(words.rows, rows) {
      #expect(Self.isClose(row.baseNorm, wanted["base_norm"]?.doubleValue))
      for (norm, value) in zip(row.norms, try #require(wanted["norms"]?.arrayValue)) {
        #expect(Self.isClose(norm, value.doubleValue))
      }
    }
    let vocabulary = try String(contentsOfFile: Self.family[0] + "/vocab.txt", encoding: .utf8)
      .split(separator: "\n")
    #expect(words.rows.allSatisfy { $0.token == String(vocabulary[$0.index]) })
    #expect(
      comparison.tables.filter { $0.tensor != words.tensor }.allSatisfy {
        $0.rows.allSatisfy { $0.token == nil }
      })
  }

  @Test func weightsAreThoseOfADefaultFusion() async throws {
    let folder = try TemporaryFolder()
    let plan = try FusionPlan(Recipe(base: Self.family[0], models: Array(Self.family.dropFirst())))
    let result = try await plan.run(
      to: folder("out.safetensors"), options: OutputOptions(synchronize: false))
    let weights = try await Self.compared().total.models.map { $0?.weight }
    for (weight, share) in zip(weights, result.weightShares) { #expect(Self.isClose(weight, share)) }
  }

  @Test func theBaseItselfDidNotMove() async throws {
    let comparison = try await Self.compared([Self.family[0], Self.family[0]])
    for part in comparison.tensors + comparison.layers + [comparison.total] {
      for movement in part.models {
        let movement = try #require(movement)
        #expect(
          movement.norm == 0 && movement.relativeNorm == 0 && movement.rms == 0 && movement.greatest == 0)
        #expect(movement.zeros == part.elements && movement.sparsity == 1 && movement.weight == 0.5)
      }
      #expect(
        part.cosines == [nil] && part.contested == 0 && part.conflicts == 0 && part.conflictShare == nil)
    }
    #expect(!comparison.json.prettyText.contains("nan"))
    #expect(!ComparisonPage(comparison).html.contains(">nan"))
  }

  @Test func anotherOrderOfModelsIsAnotherOrderOfFigures() async throws {
    let (one, two) = (
      try await Self.compared(), try await Self.compared(Array(Self.family.dropFirst().reversed()))
    )
    for (a, b) in zip(one.tensors + one.layers + [one.total], two.tensors + two.layers + [two.total]) {
      #expect(a.cosines == b.cosines && a.conflicts == b.conflicts && a.contested == b.contested)
      for (first, second) in zip(a.models, b.models.reversed()) {
        #expect(
          first?.norm == second?.norm && first?.greatest == second?.greatest && first?.zeros == second?.zeros)
        #expect(Self.isClose(first?.weight, second?.weight))
      }
    }
    for (a, b) in zip(one.tables, two.tables) {
      #expect(a.rows.map(\.index) == b.rows.map(\.index))
      #expect(a.rows.map(\.norms) == b.rows.map { $0.norms.reversed() })
    }
  }

  @Test func threadsAndMemoryChangeNothing() async throws {
    let folder = try TemporaryFolder()
    for (seed, name) in ["base", "a", "b"].enumerated() {
      try PropertyTests.model(
        folder("\(name).safetensors"), shapes: PropertyTests.shapes + PropertyTests.long, seed: UInt64(seed)
      ) { generator, _ in generator.normal() }
    }
    func text(threads: Int, memory: Int) async throws -> String {
      try await Self.compared(
        [folder("a.safetensors"), folder("b.safetensors")], base: folder("base.safetensors"),
        threads: threads, memory: memory << 20
      ).json.compactText
    }
    let expected = try await text(threads: 1, memory: 512)
    for threads in 2...4 { #expect(try await text(threads: threads, memory: 512) == expected) }
    #expect(try await text(threads: 4, memory: 16) == expected)
    let tooLittle = await #expect(throws: EmbedFuseError.self) {
      try await text(threads: 1, memory: 0)
    }
    #expect(tooLittle?.code == .usage && tooLittle?.remedy?.contains("--memory") == true)
  }

  @Test func theJSONIsItsCodableForm() async throws {
    let comparison = try await Self.compared()
    let decoded = try JSONDecoder().decode(
      ModelComparison.self, from: Data(comparison.json.prettyText.utf8))
    #expect(decoded == comparison)
    let again = try JSONDecoder().decode(ModelComparison.self, from: JSONEncoder().encode(comparison))
    #expect(again == comparison)
  }

  @Test func whatDoesNotFitIsListedAndTheRestCompared() async throws {
    let folder = try TemporaryFolder()
    try Self.model(
      folder("base.safetensors"), [("a", [2], [1, 2]), ("b", [2], [3, 4]), ("c", [1], [0])])
    try Self.model(
      folder("one.safetensors"),
      [("a", [2], [1, 2.5]), ("b", [2], [3, 3]), ("c", [1], [1]), ("d", [1], [0])])
    try Self.model(folder("two.safetensors"), [("a", [2], [1, 1]), ("c", [2], [1, 1])])
    let comparison = try await Self.compared(
      [folder("one.safetensors"), folder("two.safetensors")], base: folder("base.safetensors"))
    let mismatches = comparison.mismatches.map { "\($0.tensor) \($0.model) \($0.kind.rawValue)" }
    #expect(Set(mismatches) == ["d 0 extra", "b 1 missing", "c 1 other_form"])
    #expect(comparison.tensors.map(\.name) == ["a", "b", "c"])
    let (a, b) = (comparison.tensors[0], comparison.tensors[1])
    #expect(a.cosines == [-1] && a.contested == 1 && a.conflicts == 1 && a.conflictShare == 1)
    #expect(b.models[0]?.norm == 1 && b.models[1] == nil && b.cosines == [nil])
    // Where the base is all zero the norm stands for itself.
    #expect(comparison.tensors[2].models[0]?.relativeNorm == 1)
    // Each model's norm is relative to what it has.
    #expect(comparison.total.models[1]?.relativeNorm == 1 / 5.0.squareRoot())
  }

  @Test func modelsThatShareNothingAreRefused() async throws {
    let folder = try TemporaryFolder()
    try Self.model(folder("base.safetensors"), [("a", [1], [1])])
    try Self.model(folder("one.safetensors"), [("b", [1], [1])])
    let error = await #expect(throws: EmbedFuseError.self) {
      try await Self.compared([folder("one.safetensors")], base: folder("base.safetensors"))
    }
    #expect(error?.code == .badData && error?.problem.contains("share no tensor") == true)
  }

  @Test func noModelsAreRefused() async throws {
    let error = await #expect(throws: EmbedFuseError.self) { try await Self.compared([]) }
    #expect(error?.code == .usage)
  }

  @Test func aValueThatIsNotFiniteIsNamedOrReplaced() async throws {
    let folder = try TemporaryFolder()
    try Self.model(folder("base.safetensors"), [("a", [3], [1, 2, 2])])
    try Self.model(folder("one.safetensors"), [("a", [3], [2, .nan, .infinity])])
    let error = await #expect(throws: EmbedFuseError.self) {
      try await Self.compared([folder("one.safetensors")], base: folder("base.safetensors"))
    }
    #expect(error?.code == .badData && error?.tensor == "a")
    let total = try await Self.compared(
      [folder("one.safetensors")], base: folder("base.safetensors"), replacing: true
    ).total
    #expect(total.models[0]?.norm == 1 && total.models[0]?.zeros == 2)
  }

  @Test func anAdapterIsAModelAsForAFusion() async throws {
    let comparison = try await Self.compared(
      [Fixtures.path("samples/peft/lora")], base: Fixtures.path("samples/peft/base"))
    let moved = comparison.tensors.filter { ($0.models[0]?.norm ?? 0) > 0 }
    #expect(!moved.isEmpty && moved.count < comparison.tensors.count)
    #expect(comparison.layers.first { $0.name == "embeddings" }?.models[0]?.sparsity == 1)
  }

  static let paths: [[String]] = [["/x/run/a", "y/b"], ["x/step-5/", "y/step-5"], ["x", "x"]]
  static let labels: [[String]] = [["a", "b"], ["x/step-5", "y/step-5"], ["x (1)", "x (2)"]]

  @Test(arguments: zip(paths, labels))
  func labelsTellModelsApart(models: [String], labels: [String]) throws {
    let total: JSON = [
      "name": "all", "elements": 0, "base_norm": 0, "models": [], "cosines": [], "contested": 0,
      "conflicts": 0,
    ]
    let json: JSON = [
      "base": "b", "models": .array(models.map { .string($0) }), "total": total, "layers": [], "tensors": [],
      "tables": [], "mismatches": [], "notes": [],
    ]
    let comparison = try JSONDecoder().decode(ModelComparison.self, from: Data(json.compactText.utf8))
    #expect(comparison.labels == labels)
  }

  @Test(arguments: [
    (0.0, "0"), (0.01234, "0.0123"), (1.0, "1.00"), (12.3456, "12.3"), (999.9, "1.00e+03"), (451, "451"),
    (123_456, "1.23e+05"), (0.000_099_96, "0.000100"), (0.000_012_3, "1.23e-05"), (-0.5, "-0.500"),
    (1e-300, "1.00e-300"),
  ])
  func numbersHaveThreeDigits(value: Double, text: String) {
    #expect(FigureText.significant(value) == text)
  }
}
