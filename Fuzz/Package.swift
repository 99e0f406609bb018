// swift-tools-version: 6.2
import PackageDescription

// One libFuzzer target for each parser; `Fuzz/run TARGET SECONDS` builds and runs one. A package of its own, so that
// users of the library don't build them.
let package = Package(
  name: "embedfuse-fuzz",
  dependencies: [.package(name: "embedfuse", path: "..")],
  targets: [
    .target(
      name: "FuzzInput", dependencies: [.product(name: "EmbedFuse", package: "embedfuse")],
      swiftSettings: [.swiftLanguageMode(.v6)])
  ]
    + ["Safetensors", "PyTorch", "HDF5", "NumPy", "GGUF", "Model", "Recipe", "Manifest"].map { name in
      .executableTarget(
        name: "Fuzz\(name)", dependencies: ["FuzzInput", .product(name: "EmbedFuse", package: "embedfuse")],
        swiftSettings: [.swiftLanguageMode(.v6), .unsafeFlags(["-parse-as-library"])])
    }
)
