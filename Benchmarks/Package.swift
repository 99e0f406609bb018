// swift-tools-version: 6.2
import PackageDescription

// `kernels` measures the inner loops; a package of its own, so that who uses the library builds none of it.
// It looks inside the library, so it is built with -enable-testing (`make bench-kernels`).
let package = Package(
  name: "embedfuse-benchmarks",
  dependencies: [.package(name: "embedfuse", path: "..")],
  targets: [
    .target(name: "CBenchmarks"),
    .executableTarget(
      name: "kernels",
      dependencies: ["CBenchmarks", .product(name: "EmbedFuse", package: "embedfuse")],
      swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]),
  ]
)
