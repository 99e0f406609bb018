import Checkpoints
import Foundation
import TensorCore
import TestSupport
import Testing

@testable import EmbedFuse

/// Files whose header would be longer than the format allows are refused before any tensor is read.
@Suite struct HeaderLimitTests {
  static func plan() throws -> FusionPlan {
    try FusionPlan(
      Recipe(
        base: Fixtures.path("family/base"),
        models: ["retrieval", "similarity"].map { Fixtures.path("family/\($0)") },
        method: .deltaGuided()))
  }

  @Test func theBoundIsBelowTheHeaderAndNear() async throws {
    let folder = try TemporaryFolder()
    let plan = try Self.plan()
    try await plan.run(to: folder("fused.safetensors"))
    let head = try Data(contentsOf: URL(fileURLWithPath: folder("fused.safetensors"))).prefix(8)
    let length = head.reversed().reduce(0) { $0 << 8 | Int($1) }
    #expect(plan.leastHeaderBytes <= length && plan.leastHeaderBytes > length * 2 / 3)
  }

  @Test func aHeaderThatIsTooLongIsRefusedWithARemedy() throws {
    let plan = try Self.plan()
    let least = plan.leastHeaderBytes
    try plan.checkHeader(ofFileAt: "fused.safetensors", limit: least)
    let error = try #require(throws: EmbedFuseError.self) {
      try plan.checkHeader(ofFileAt: "fused.safetensors", limit: least - 1)
    }
    #expect(error.code == .badData && error.path == "fused.safetensors")
    #expect(error.problem.contains("at least \(least) bytes, for \(plan.tensors.count) tensors"))
    #expect(error.remedy?.contains("model directory") == true)
  }
}
