// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

// `make sanitize` traps undefined behaviour in the C code: a consumer of the package never sees these flags.
let trapping: [CSetting] =
  Context.environment["EMBEDFUSE_TRAP"] == nil
  ? [] : [.unsafeFlags(["-fsanitize=undefined", "-fsanitize-trap=undefined"])]

let package = Package(
  name: "embedfuse",
  products: [
    .library(name: "EmbedFuse", targets: ["EmbedFuse"]),
    .executable(name: "embedfuse", targets: ["EmbedFuseCLI"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // System libraries, each behind a shim header.
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),

    // The layers, lowest first; `make lint` holds them to this table.
    .target(name: "CKernels", cSettings: trapping),
    .target(name: "CLinux", cSettings: trapping),
    // HDF5 is loaded when it is needed, so that this takes its headers, and nothing is linked.
    .target(name: "CHDF5", cSettings: trapping),
    .target(name: "TensorCore", swiftSettings: strict),
    .target(name: "Kernels", dependencies: ["TensorCore", "CKernels"], swiftSettings: strict),
    .target(
      name: "Checkpoints",
      dependencies: ["TensorCore", "Kernels", "CHDF5", "CZstd", "CZlib", "CXXHash", "CLinux"],
      swiftSettings: strict),
    .target(name: "Fusion", dependencies: ["TensorCore", "Kernels"], swiftSettings: strict),
    .target(
      name: "EmbedFuse",
      dependencies: [
        "TensorCore", "Kernels", "Checkpoints", "Fusion", .product(name: "Yams", package: "Yams"),
      ], swiftSettings: strict),
    .executableTarget(
      name: "EmbedFuseCLI",
      dependencies: [
        "EmbedFuse", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),

    .target(
      name: "TestSupport", dependencies: ["EmbedFuse", "Kernels"], path: "Tests/TestSupport",
      swiftSettings: strict),
    .testTarget(name: "TensorCoreTests", dependencies: ["TensorCore"], swiftSettings: strict),
    .testTarget(name: "KernelsTests", dependencies: ["Kernels", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "CheckpointsTests", dependencies: ["Checkpoints", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "FusionTests", dependencies: ["Fusion", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "EmbedFuseTests",
      dependencies: ["EmbedFuse", "TestSupport", .product(name: "Yams", package: "Yams")],
      swiftSettings: strict),
    .testTarget(
      name: "EmbedFuseCLITests", dependencies: ["EmbedFuseCLI", "TestSupport"], swiftSettings: strict),
  ]
)
