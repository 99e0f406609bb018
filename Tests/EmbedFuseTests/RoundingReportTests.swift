import EmbedFuse
import Foundation
import Kernels
import TestSupport
import Testing

/// What a fusion reports of its rounding, against the same fusion written in binary64 and rounded here, element by
/// element.
@Suite struct RoundingReportTests {
  let folder: TemporaryFolder
  let options = OutputOptions(synchronize: false)

  init() throws {
    folder = try TemporaryFolder()
    var generator = SeededGenerator(seed: 6)
    for (name, type, step) in [("base", ElementType.bf16, 0.0), ("a", .f32, 1e-4), ("b", .bf16, 0.02)] {
      var base = SeededGenerator(seed: 5)
      try SafetensorsBuilder.write(
        PropertyTests.shapes.map { name, shape in
          let values = (0..<Shape(shape)!.elementCount).map { i in
            let from = i % 50 == 0 ? 1e30 : 0.05 * base.normal()
            return i % 7 == 0 ? from : from * (1 + step * generator.normal())
          }
          var bytes = [UInt8](repeating: 0, count: type.byteCount(ofElements: values.count))
          var span = bytes.mutableSpan
          narrow(values.span, to: type, into: &span)
          return (name, type, shape, bytes)
        }, to: folder("\(name).safetensors"))
    }
  }

  private func recipe(_ type: ElementType?, by intermediate: ElementType? = nil, base: Bool = true) -> Recipe
  {
    var recipe = Recipe(
      base: base ? folder("base.safetensors") : nil,
      models: [folder("a.safetensors"), folder("b.safetensors")],
      method: base ? .deltaGuided() : .soup(), elementType: type)
    recipe.intermediateType = intermediate
    return recipe
  }

  private func run(_ recipe: Recipe, threads: Int? = nil, report: String? = nil) async throws -> FusionResult
  {
    var options = options
    options.overwrite = true
    options.threads = threads
    options.weightsReport = report
    return try await FusionPlan(recipe).run(to: folder("out.safetensors"), options: options)
  }

  /// The counts of every tensor by rounding exact values, if `base` is compared with.
  private func expected(_ type: ElementType, compared: Bool, exact: TensorValues) throws -> [RoundingCounts] {
    let base = try TensorValues(folder("base.safetensors"))
    return PropertyTests.shapes.map { name, _ in
      let from = base.doubles(name)
      return exact.doubles(name).enumerated().reduce(into: RoundingCounts()) { counts, element in
        counts.add(
          ScalarReference.rounding(
            of: element.element, base: compared ? from[element.offset] : nil, to: type))
      }
    }
  }

  private func counts(_ report: RoundingReport) -> [RoundingCounts] {
    report.tensors.map {
      var counts = RoundingCounts()
      (counts.moved, counts.vanished) = ($0.counts.moved ?? 0, $0.counts.vanished ?? 0)
      (counts.overflowed, counts.underflowed) = ($0.counts.overflowed, $0.counts.underflowed)
      return counts
    }
  }

  @Test(arguments: [ElementType.bf16, .f16, .f8E4M3, .f8E5M2FNUZ, .f32], [true, false])
  func countsAreThoseOfEveryElement(type: ElementType, base: Bool) async throws {
    _ = try await run(recipe(.f64, base: base))
    let exact = try TensorValues(folder("out.safetensors"))
    let result = try await run(recipe(type, base: base))
    let compared = base && type != .f32
    #expect(try counts(result.rounding) == expected(type, compared: compared, exact: exact))
    #expect((result.rounding.total.moved != nil) == compared)
    let one = try await run(recipe(type, base: base), threads: 1)
    #expect(one.rounding == result.rounding)
    #expect(one.manifest == result.manifest)
  }

  @Test func theNarrowestTypeOnTheWayCounts() async throws {
    _ = try await run(recipe(.f64))
    let exact = try TensorValues(folder("out.safetensors"))
    let byWay = try await run(recipe(.f32, by: .bf16))
    #expect(try counts(byWay.rounding) == expected(.bf16, compared: true, exact: exact))
    #expect(byWay.rounding.narrowTypes == [.bf16])
    let wide = try await run(recipe(.bf16, by: .f32))
    #expect(counts(wide.rounding).map(\.moved) == counts(byWay.rounding).map(\.moved))
  }

  @Test func equalModelsLoseNothing() async throws {
    var recipe = recipe(nil)
    recipe.models = [folder("base.safetensors"), folder("base.safetensors")]
    let total = try await run(recipe).rounding.total
    #expect(total.moved == 0 && total.vanished == 0 && total.overflowed == 0 && total.underflowed == 0)
    #expect(total.vanishedShare == nil)
  }

  @Test func binary64HasNothingToReport() async throws {
    let result = try await run(recipe(.f64))
    #expect(result.rounding.tensors.isEmpty)
    #expect(result.rounding.summary == nil && result.rounding.warnings.isEmpty)
    #expect(result.manifest.json["output"]?["rounding"] == nil)
  }

  @Test func manifestAndReportHoldTheCounts() async throws {
    let result = try await run(recipe(.bf16), report: folder("weights.json"))
    let output = try #require(result.manifest.json["output"])
    #expect(output["rounding"] == result.rounding.total.json)
    let report = try JSON.parse(
      Array(Data(contentsOf: URL(fileURLWithPath: folder("weights.json")))).span, path: "weights.json")
    #expect(report["rounding"] == result.rounding.total.json)
    let entries = try #require(report["tensors"]?.arrayValue)
    for tensor in result.rounding.tensors where tensor.name != "empty" {
      #expect(output["tensors"]?[tensor.name]?["rounding"] == tensor.counts.json)
      let entry = entries.first { $0["name"]?.stringValue == tensor.name }
      #expect(entry?["rounding"] == tensor.counts.json, "\(tensor.name)")
    }
    // What was reserved in the header for longer numbers is filled up.
    #expect(try await Verification(of: folder("out.safetensors")).run().tensorCount == 7)
  }

  @Test func aWarningNamesTheWorstTensorsAndTheRemedy() async throws {
    let result = try await run(recipe(.f8E5M2))
    let warnings = result.rounding.warnings
    let lossy = try #require(warnings.first { $0.contains("vanish") })
    let worst = try #require(
      result.rounding.tensors.max { ($0.counts.vanishedShare ?? 0) < ($1.counts.vanishedShare ?? 0) })
    #expect(lossy.contains(worst.name) && lossy.contains("--dtype f32") && !lossy.contains("\n"))
    let large = try #require(warnings.first { $0.contains("too large") })
    #expect(large.contains("embeddings.weight") && large.contains("--dtype f32"))
    #expect(try await run(recipe(.f32)).rounding.warnings.isEmpty)
  }
}
