import TensorCore

extension TensorContext {
  /// True if a weight is so large that it doesn't matter what is done about very small ones.
  var hasLargePriors: Bool { priors.contains { $0.magnitude > 0x1p64 } }

  /// The tensor with weights of moderate size, for a method to which only their ratios matter.
  ///
  /// Where the greatest size is below 2^-64 or at least 2^65 all are multiplied by the power of two that brings it to at
  /// least 1 and below 2, which is exact. Then nothing that is computed of them and of deltas of binary32 leaves the range
  /// of binary64.
  ///
  /// - Throws: `EmbedFuseError` (usage) if one weight is more than 2^500 times as large as another that isn't 0.
  public func withModeratePriors() throws(EmbedFuseError) -> TensorContext {
    let sizes = priors.map(\.magnitude).filter { $0 > 0 }
    guard let greatest = sizes.max(), let least = sizes.min() else { return self }
    guard greatest.isFinite, Int(greatest.exponent) - Int(least.exponent) <= 500 else {
      throw EmbedFuseError(
        .usage,
        "the weights \(priors) are too different: of 2^500 times as much the smaller one is lost",
        tensor: name,
        remedy:
          "give a model that isn't to count the weight 0, or choose weights that are closer to each other")
    }
    guard abs(Int(greatest.exponent)) > 64 else { return self }
    var tensor = self
    tensor.priors = priors.map { Double(sign: .plus, exponent: -Int(greatest.exponent), significand: $0) }
    return tensor
  }
}
