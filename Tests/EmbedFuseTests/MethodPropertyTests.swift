import EmbedFuse
import Foundation
import Kernels
import TestSupport
import Testing

/// What holds for every method, whatever its formula.
@Suite struct MethodPropertyTests {
  /// A method with parameters that make it do all that it can.
  struct Setting: Sendable, CustomTestStringConvertible {
    let method: String
    var parameters: [String: String] = [:]
    var testDescription: String { "\(method) \(parameters.sorted { $0.key < $1.key })" }

    var description: MethodDescription { FusionMethods.named(method)!.description }

    /// The recipe for a base and as many of the models as the method takes.
    func recipe(_ paths: [String], order: [Int]? = nil, seed: UInt64 = 0) throws -> Recipe {
      let count = min(description.models.upperBound, paths.count - 1)
      let models = (order ?? Array(0..<count)).map { paths[1 + $0] }
      return Recipe(
        base: description.mergeSpace == .weights ? nil : paths[0], models: models,
        method: try MethodSettings(named: method, parameters: parameters, seed: seed),
        companions: description.needsCompanions ? models : [])
    }
  }

  static let settings: [Setting] = [
    Setting(method: "soup"), Setting(method: "soup", parameters: ["normalize": "false"]),
    Setting(method: "task-arithmetic", parameters: ["lambda": "0.6"]),
    Setting(method: "ties", parameters: ["density": "0.3"]),
    Setting(method: "ties", parameters: ["density": "0.4", "rescale": "true"]),
    Setting(method: "ties", parameters: ["density": "0.3", "trim": "model"]),
    Setting(method: "dare", parameters: ["density": "0.4"]),
    Setting(method: "dare-linear", parameters: ["density": "0.4"]),
    Setting(method: "dare-ties", parameters: ["density": "0.4", "normalize": "true"]),
    Setting(method: "della", parameters: ["density": "0.5"]),
    Setting(method: "della-linear", parameters: ["density": "0.5", "epsilon": "0.2"]),
    Setting(method: "breadcrumbs", parameters: ["density": "0.7", "gamma": "0.1"]),
    Setting(method: "breadcrumbs-ties", parameters: ["density": "0.5", "gamma": "0.05", "rescale": "true"]),
    Setting(method: "sce", parameters: ["select_topk": "0.5"]), Setting(method: "sce"),
    Setting(method: "ram", parameters: ["epsilon": "0.01"]),
    Setting(method: "ramplus-tl", parameters: ["epsilon": "0.01"]),
    Setting(method: "magmax"), Setting(method: "consensus"), Setting(method: "emr-unified"),
    Setting(method: "pcb", parameters: ["ratio": "0.2"]), Setting(method: "widen"),
    Setting(method: "lines"), Setting(method: "model-stock"),
    Setting(method: "model-stock", parameters: ["filter_wise": "true"]),
    Setting(method: "slerp", parameters: ["t": "0.3"]), Setting(method: "nuslerp"),
    Setting(method: "nuslerp", parameters: ["nuslerp_flatten": "false"]),
    Setting(method: "nuslerp", parameters: ["nuslerp_flatten": "false", "nuslerp_row_wise": "true"]),
    Setting(method: "multislerp"), Setting(method: "karcher"),
    Setting(method: "nearswap", parameters: ["t": "0.01"]), Setting(method: "arcee-fusion"),
    Setting(method: "passthrough", parameters: ["scale": "0.5"]), Setting(method: "fisher"),
    Setting(method: "geometric-median"), Setting(method: "median"), Setting(method: "trimmed-mean"),
  ]

  /// Tensors of every kind, one of which is searched by histogram, and one with rows longer than a block.
  static let shapes =
    PropertyTests.shapes + [
      ("encoder.layer.2.wide.weight", [9, 4_000]), ("encoder.layer.1.long.weight", [1, 66_000]),
    ]

  @Test func everyMethodIsAmongThem() {
    let tested = Set(Self.settings.map(\.method))
    for type in FusionMethods.all where type.description.name != "delta-guided" {
      #expect(tested.contains(type.description.name))
    }
  }

  @Test(arguments: settings) func threadsMemoryAndFilesChangeNoBit(setting: Setting) async throws {
    let folder = try TemporaryFolder()
    let recipe = try setting.recipe(try PropertyTests.family(folder, shapes: Self.shapes))
    let expected = try await PropertyTests.fuse(
      recipe, to: folder("1.safetensors"),
      options: OutputOptions(overwrite: true, synchronize: false, threads: 1))
    for (threads, memory, name) in [(4, 1 << 30, "4.safetensors"), (2, 80 << 20, "2.h5")] {
      let found = try await PropertyTests.fuse(
        recipe, to: folder(name),
        options: OutputOptions(overwrite: true, synchronize: false, memory: memory, threads: threads))
      for tensor in expected.names {
        #expect(
          found.tensors[tensor]?.bytes == expected.tensors[tensor]?.bytes, "\(tensor), \(threads) threads")
      }
    }
  }

  @Test(arguments: settings) func instructionSetsChangeNoBit(setting: Setting) async throws {
    let folder = try TemporaryFolder()
    let recipe = try setting.recipe(try PropertyTests.family(folder))
    var outputs: [TensorValues] = []
    try await onEveryInstructionSet { _ in
      outputs.append(try await PropertyTests.fuse(recipe, to: folder("out.safetensors")))
    }
    for tensor in outputs[0].names {
      for output in outputs.dropFirst() {
        #expect(output.tensors[tensor]?.bytes == outputs[0].tensors[tensor]?.bytes, "\(tensor)")
      }
    }
  }

  /// Where no model moved, methods on deltas give the base back bit for bit.
  @Test(arguments: settings.filter { $0.description.mergeSpace != .weights })
  func stillModelsGiveTheBase(setting: Setting) async throws {
    let folder = try TemporaryFolder()
    try PropertyTests.model(folder("base.safetensors"), seed: 1) { generator, index in
      index % 5 == 0 ? -0.0 : generator.normal()
    }
    for name in ["a", "b", "c"] {
      try FileManager.default.copyItem(
        atPath: folder("base.safetensors"), toPath: folder("\(name).safetensors"))
    }
    let recipe = try setting.recipe(["base", "a", "b", "c"].map { folder("\($0).safetensors") })
    let found = try await PropertyTests.fuse(recipe, to: folder("out.safetensors"))
    let base = try TensorValues(folder("base.safetensors"))
    for tensor in base.names {
      #expect(found.tensors[tensor]?.bytes == base.tensors[tensor]?.bytes, "\(tensor)")
    }
  }

  /// The mean of equal models is that model, for the methods that are means.
  @Test(arguments: [
    "soup", "ties", "sce", "model-stock", "fisher", "geometric-median", "median", "trimmed-mean",
  ])
  func copiesOfOneModelFuseToItsBits(method: String) async throws {
    let folder = try TemporaryFolder()
    let paths = try PropertyTests.family(folder)
    for name in ["a", "b", "c"] {
      try FileManager.default.copyItem(atPath: paths[1], toPath: folder("\(name).safetensors"))
    }
    let copies = [paths[0]] + ["a", "b", "c"].map { folder("\($0).safetensors") }
    let found = try await PropertyTests.fuse(
      try Setting(method: method).recipe(copies), to: folder("out.safetensors"))
    let model = try TensorValues(paths[1])
    for tensor in model.names {
      #expect(found.tensors[tensor]?.bytes == model.tensors[tensor]?.bytes, "\(tensor)")
    }
  }

  /// Methods that treat all models alike give the same values whatever their order, but for the last place.
  @Test(
    arguments: settings.filter {
      // Random numbers go by the model's place; MagMax and the others that are left out take one or two models, or
      // let the later one win.
      ![
        "dare", "dare-linear", "dare-ties", "della", "della-linear", "slerp", "nearswap", "arcee-fusion",
        "passthrough",
        "nuslerp", "magmax",
      ].contains($0.method)
    })
  func orderOfModelsIsFree(setting: Setting) async throws {
    let folder = try TemporaryFolder()
    let paths = try PropertyTests.family(folder)
    let expected = try await PropertyTests.fuse(try setting.recipe(paths), to: folder("a.safetensors"))
    let found = try await PropertyTests.fuse(
      try setting.recipe(paths, order: [2, 0, 1]), to: folder("b.safetensors"))
    #expect(found.names == expected.names)
    for tensor in expected.names {
      let wrong = zip(found.doubles(tensor), expected.doubles(tensor)).count {
        abs($0 - $1) > 3e-7 * max(1, abs($1))
      }
      #expect(wrong == 0, "\(tensor)")
    }
  }

  /// The weights of SCE and the angles of Model Stock are free of scale: deltas a hundred million times smaller give
  /// deltas a hundred million times smaller.
  @Test(arguments: ["sce", "model-stock", "ties", "dare-linear", "multislerp", "widen"])
  func scaleIsFree(method: String) async throws {
    let folder = try TemporaryFolder()
    // A base of zeros, so that the small deltas are stored exactly.
    let small = try TemporaryFolder()
    let factor = 0x1p-27
    for (place, folder) in [(1.0, folder), (factor, small)] {
      try PropertyTests.model(folder("base.safetensors"), type: .f64, seed: 1) { _, _ in 0 }
      for k in 1...3 {
        try PropertyTests.model(folder("ft\(k).safetensors"), type: .f64, seed: UInt64(k)) { generator, _ in
          Double(k) * generator.normal() * place
        }
      }
    }
    var setting = Setting(method: method)
    if method == "ties" || method == "dare-linear" { setting.parameters = ["density": "0.5"] }
    if method == "sce" { setting.parameters = ["select_topk": "0.5"] }
    let names = ["base", "ft1", "ft2", "ft3"].map { "\($0).safetensors" }
    let large = try await PropertyTests.fuse(
      try setting.recipe(names.map { folder($0) }), to: folder("out.safetensors"))
    let tiny = try await PropertyTests.fuse(
      try setting.recipe(names.map { small($0) }), to: small("out.safetensors"))
    #expect(tiny.names == large.names)
    for tensor in large.names where tensor != "empty" {
      let wrong = zip(large.doubles(tensor), tiny.doubles(tensor)).count {
        abs($0 * factor - $1) > 1e-9 * abs($0 * factor)
      }
      #expect(wrong == 0, "\(tensor)")
    }
  }

  @Test func theSeedDecidesRandomNumbersAndNothingElseDoes() async throws {
    let folder = try TemporaryFolder()
    let paths = try PropertyTests.family(folder)
    let setting = Setting(method: "dare", parameters: ["density": "0.5"])
    let first = try await PropertyTests.fuse(try setting.recipe(paths), to: folder("a.safetensors"))
    let again = try await PropertyTests.fuse(try setting.recipe(paths), to: folder("b.safetensors"))
    let other = try await PropertyTests.fuse(try setting.recipe(paths, seed: 1), to: folder("c.safetensors"))
    let name = "embeddings.weight"
    #expect(first.tensors[name]?.bytes == again.tensors[name]?.bytes)
    #expect(first.tensors[name]?.bytes != other.tensors[name]?.bytes)
  }
}
