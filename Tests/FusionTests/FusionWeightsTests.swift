import Testing

@testable import Fusion

@Suite struct FusionWeightsTests {
  static func weights(_ magnitudes: [Double], _ power: Double, _ priors: [Double] = [1, 1, 1]) -> [Double] {
    FusionWeights.of(magnitudes: magnitudes, priors: priors, power: power)
  }

  @Test func areInProportionToMagnitudes() {
    #expect(Self.weights([1, 2, 1], 1) == [0.25, 0.5, 0.25])
    #expect(Self.weights([1, 2, 1], 1, [1, 1, 2]) == [0.2, 0.4, 0.4])
    #expect(Self.weights([1, 2, 0], 2) == [0.2, 0.8, 0])
    let (ninth, rest) = (1.0 / 9, 4.0 / 9)
    #expect(Self.weights([4, 1, 1], -1) == [ninth, rest, rest])
  }

  @Test func areTheSharesOfThePriorsWhereNothingDecides() {
    #expect(Self.weights([0, 0, 0], 1, [1, 1, 2]) == [0.25, 0.25, 0.5])
    #expect(Self.weights([0, 0, 0], -1, [1, 1, 2]) == [0.25, 0.25, 0.5])
    #expect(Self.weights([5, 1, 2], 0, [1, 1, 2]) == [0.25, 0.25, 0.5])
  }

  @Test func withNegativePowerTheModelsThatDidNotMoveShareAll() {
    #expect(Self.weights([0, 3, 0], -2, [1, 9, 3]) == [0.25, 0, 0.75])
  }

  @Test func aModelOfNoPriorHasNoWeight() {
    #expect(Self.weights([5, 0, 1], 1, [0, 1, 1]) == [0, 0, 1])
    #expect(Self.weights([0, 2, 2], -1, [0, 1, 1]) == [0, 0.5, 0.5])
  }

  @Test(arguments: [1e-300, 1e-8, 1e8, 1e300], [-40, -1, 0.5, 1, 2, 40]) func areFreeOfScale(
    scale: Double, power: Double
  ) {
    let expected = Self.weights([1, 2, 3], power)
    let found = Self.weights([1, 2, 3].map { $0 * scale }, power)
    #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-13 })
  }

  @Test func lambdaKeepsTheModulusAndIsNeverBelow1() {
    // Two deltas of length 1 at a right angle: |a| + |b| over |a + b|.
    let expected = 2.0.squareRoot()
    let found = DeltaGuided.modulusRatio([1, 1, 2])
    #expect(abs(found - expected) < 1e-15)
    #expect(DeltaGuided.modulusRatio([4, 0, 4]) == 1)
    #expect(DeltaGuided.modulusRatio([1, 1, 0]) == 1)
    #expect(DeltaGuided.modulusRatio([1, 1, 4.000000001]) == 1)
  }
}

@Suite struct LayerNameTests {
  @Test(arguments: [
    ("encoder.layer.7.attention.self.query.weight", "encoder.layer.7"),
    ("model.layers.11.mlp.up_proj.weight", "model.layers.11"),
    ("embeddings.word_embeddings.weight", "embeddings"), ("pooler.dense.bias", "pooler"),
    ("0.auto_model.encoder.layer.3.bias", "0.auto_model.encoder.layer.3"), ("weight", "weight"),
    ("a..b", "a"),
    ("encoder.block.2.layer.1.x", "encoder.block.2"),
  ]) func endsAtTheFirstNumber(name: String, layer: String) {
    #expect(LayerName.of(name) == layer)
  }

  @Test func aModuleIsALayer() {
    #expect(LayerName.of("2_Dense/linear.weight", module: "2_Dense") == "2_Dense")
  }
}
