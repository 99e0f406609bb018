import TensorCore

/// Weights that a model uses under two names and may store under one.
public struct TiedWeights: Sendable {
  /// Heads that language models tie to the input embedding, with the names that the embedding may have.
  private static let heads = [
    "lm_head.weight", "cls.predictions.decoder.weight", "lm_head.decoder.weight", "embed_out.weight",
    "vocab_projector.weight", "generator_lm_head.weight",
  ]
  private static let embeddings = [
    "embed_tokens.weight", "word_embeddings.weight", "wte.weight", "shared.weight", "tok_embeddings.weight",
  ]

  private let aliases: [String: String]
  private let names: Set<String>
  private let tiesHead: Bool

  /// The tied weights of a model: those that its files name, and the head if its configuration ties it.
  public init(_ source: ModelSource) {
    aliases = source.aliases
    names = Set(source.tensors.map(\.name))
    // BERT-like models tie unless told otherwise; what isn't a masked or causal model has no head to tie.
    let config = (try? source.config()) ?? nil
    tiesHead = config?["tie_word_embeddings"]?.boolValue ?? (config != nil)
  }

  /// The stored name for a name that isn't stored because its weights are tied to others; nil if it isn't tied.
  public func storedName(of name: String) -> String? {
    if let alias = aliases[name] { return alias }
    guard !names.contains(name), tiesHead, Self.heads.contains(where: name.hasSuffix) else { return nil }
    let candidates = names.filter { stored in Self.embeddings.contains { stored.hasSuffix($0) } }
    return candidates.count == 1 ? candidates.first : nil
  }
}
