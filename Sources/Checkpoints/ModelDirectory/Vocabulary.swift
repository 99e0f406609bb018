import TensorCore

/// The tokens of a model by their content, however the tokenizer's files write them.
struct Vocabulary {
  /// The number of each token. Tokens are told apart by their bytes: vocabularies of many languages hold é as one
  /// character, and as e with an accent.
  var numbers: [ExactString: Int] = [:]
  /// The merges of a byte-pair encoding, in order, the parts separated by a space.
  var merges: [String] = []

  /// The vocabulary of a model; nil if it has none that is known here.
  init?(_ files: ConfigurationFiles) throws(EmbedFuseError) {
    let folder = files.source.transformerFolder
    if let json = try files.json(FilePath.join(folder, "tokenizer.json")), let model = json["model"] {
      switch model["vocab"] {
      case .object(let vocabulary):
        for member in vocabulary.members { numbers[ExactString(member.key)] = member.value.intValue }
      case .array(let pieces):
        // Unigram: pairs of a piece and its score; the place is the number.
        for (number, piece) in pieces.enumerated() {
          numbers[ExactString(piece.arrayValue?.first?.stringValue ?? "")] = number
        }
      default: return nil
      }
      for token in json["added_tokens"]?.arrayValue ?? [] {
        if let content = token["content"]?.stringValue, let number = token["id"]?.intValue {
          numbers[ExactString(content)] = number
        }
      }
      merges = (model["merges"]?.arrayValue ?? []).map { merge in
        merge.stringValue ?? (merge.arrayValue ?? []).compactMap(\.stringValue).joined(separator: " ")
      }
    } else if let text = try files.bytes(FilePath.join(folder, "vocab.txt")) {
      for (number, line) in text.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
        let token = line.last == 0x0D ? line.dropLast() : line
        if !token.isEmpty { numbers[ExactString(String(decoding: token, as: UTF8.self))] = number }
      }
    } else {
      return nil
    }
  }
}

extension ModelSource {
  /// The text of each token by its number; nil if the model has no vocabulary that is known here.
  public func tokens() throws(EmbedFuseError) -> [Int: String]? {
    guard let vocabulary = try Vocabulary(ConfigurationFiles(of: self)), !vocabulary.numbers.isEmpty else {
      return nil
    }
    // Of several texts for one number the least, so that it doesn't depend on their order.
    return vocabulary.numbers.reduce(into: [:]) { texts, token in
      let text = token.key.text
      texts[token.value] = [texts[token.value] ?? text, text].min {
        $0.utf8.lexicographicallyPrecedes($1.utf8)
      }
    }
  }
}

extension Comparison {
  mutating func compareVocabularies() throws(EmbedFuseError) {
    if try haveEqualTokenizers() { return }
    guard let ours = try baseFiles.vocabulary(), let theirs = try otherFiles.vocabulary() else { return }
    let different = Set(ours.numbers.keys).union(theirs.numbers.keys).filter {
      ours.numbers[$0] != theirs.numbers[$0]
    }
    if let example = different.min(by: { $0.text.utf8.lexicographicallyPrecedes($1.text.utf8) }) {
      func number(in vocabulary: Vocabulary) -> String {
        "\(vocabulary.numbers[example].map { String($0) } ?? "none") of \(vocabulary.numbers.count)"
      }
      report(
        "the vocabulary (\(different.count.counted("token")) \(different.count == 1 ? "differs" : "differ")): the number of '\(example.text)'",
        number(in: ours), number(in: theirs))
    } else if !ours.merges.isEmpty, !theirs.merges.isEmpty,
      ours.merges.map(ExactString.init) != theirs.merges.map(ExactString.init)
    {
      report(
        "the list of merges", "\(ours.merges.count) merges", "\(theirs.merges.count), or others")
    }
  }

  /// True if a look at the files shows that the vocabularies are the same: the usual case, and far quicker than to
  /// compare them token by token.
  private func haveEqualTokenizers() throws(EmbedFuseError) -> Bool {
    let file = FilePath.join(base.transformerFolder, "tokenizer.json")
    guard let ours = try baseFiles.bytes(file), let theirs = try otherFiles.bytes(file) else {
      guard try baseFiles.bytes(file) == nil, try otherFiles.bytes(file) == nil,
        let ours = try baseFiles.bytes(FilePath.join(base.transformerFolder, "vocab.txt"))
      else { return false }
      return ours == (try otherFiles.bytes(FilePath.join(other.transformerFolder, "vocab.txt")))
    }
    if ours == theirs { return true }
    // Saved by another version of the library, or with other settings of use.
    guard let first = try baseFiles.json(file), let second = try otherFiles.json(file),
      let model = first["model"], let other = second["model"]
    else { return false }
    return model["vocab"] == other["vocab"] && model["merges"] == other["merges"]
      && first["added_tokens"] == second["added_tokens"]
  }
}
