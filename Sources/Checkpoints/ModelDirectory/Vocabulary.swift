import TensorCore

/// The tokens of a model by their content, however the tokenizer's files write them.
struct Vocabulary {
  /// The number of each token.
  var numbers: [String: Int] = [:]
  /// The merges of a byte-pair encoding, in order, the parts separated by a space.
  var merges: [String] = []

  /// The vocabulary of a model; nil if it has none that is known here.
  init?(_ source: ModelSource) throws(EmbedFuseError) {
    let folder = source.transformerFolder
    if let json = try source.json(FilePath.join(folder, "tokenizer.json")), let model = json["model"] {
      switch model["vocab"] {
      case .object(let vocabulary):
        for member in vocabulary.members { numbers[member.key] = member.value.intValue }
      case .array(let pieces):
        // Unigram: pairs of a piece and its score; the place is the number.
        for (number, piece) in pieces.enumerated() {
          numbers[piece.arrayValue?.first?.stringValue ?? ""] = number
        }
      default: return nil
      }
      for token in json["added_tokens"]?.arrayValue ?? [] {
        if let content = token["content"]?.stringValue, let number = token["id"]?.intValue {
          numbers[content] = number
        }
      }
      merges = (model["merges"]?.arrayValue ?? []).map { merge in
        merge.stringValue ?? (merge.arrayValue ?? []).compactMap(\.stringValue).joined(separator: " ")
      }
    } else if let text = try source.companion(FilePath.join(folder, "vocab.txt")) {
      for (number, line) in text.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
        let token = line.last == 0x0D ? line.dropLast() : line
        if !token.isEmpty { numbers[String(decoding: token, as: UTF8.self)] = number }
      }
    } else {
      return nil
    }
  }
}

extension ModelSource {
  /// The text of each token by its number; nil if the model has no vocabulary that is known here.
  public func tokens() throws(EmbedFuseError) -> [Int: String]? {
    guard let vocabulary = try Vocabulary(self), !vocabulary.numbers.isEmpty else { return nil }
    // Of several texts for one number the least, so that it doesn't depend on their order.
    return vocabulary.numbers.reduce(into: [:]) { texts, token in
      texts[token.value] = min(texts[token.value] ?? token.key, token.key)
    }
  }
}

extension Comparison {
  mutating func compareVocabularies() throws(EmbedFuseError) {
    let file = FilePath.join(base.transformerFolder, "tokenizer.json")
    if let ours = try base.companion(file), ours == (try other.companion(file)) { return }
    guard let ours = try Vocabulary(base), let theirs = try Vocabulary(other) else { return }
    let different = Set(ours.numbers.keys).union(theirs.numbers.keys).filter {
      ours.numbers[$0] != theirs.numbers[$0]
    }
    if let example = different.min() {
      func number(in vocabulary: Vocabulary) -> String {
        "\(vocabulary.numbers[example].map { String($0) } ?? "none") of \(vocabulary.numbers.count)"
      }
      report(
        "the vocabulary (\(different.count) tokens differ): the number of '\(example)'",
        number(in: ours), number(in: theirs))
    } else if !ours.merges.isEmpty, !theirs.merges.isEmpty, ours.merges != theirs.merges {
      report(
        "the list of merges", "\(ours.merges.count) merges", "\(theirs.merges.count), or others")
    }
  }
}
