import TensorCore

/// The configuration and tokenizer of a model that is compared with others: every file is read and parsed once.
final class ConfigurationFiles {
  /// The model.
  let source: ModelSource
  private var contents: [String: [UInt8]?] = [:]
  private var parsed: [String: JSON?] = [:]
  private var tokens: Vocabulary??

  init(of source: ModelSource) {
    self.source = source
  }

  /// A companion file's bytes, or nil if there is no such file.
  func bytes(_ relativePath: String) throws(EmbedFuseError) -> [UInt8]? {
    if let known = contents[relativePath] { return known }
    let bytes = try source.companion(relativePath)
    contents[relativePath] = .some(bytes)
    return bytes
  }

  /// A companion file as JSON, read as `ModelSource.json` does.
  func json(_ relativePath: String) throws(EmbedFuseError) -> JSON? {
    if let known = parsed[relativePath] { return known }
    let json = try bytes(relativePath).map { bytes throws(EmbedFuseError) in
      try source.json(bytes, of: relativePath)
    }
    parsed[relativePath] = .some(json)
    return json
  }

  /// The transformer's `config.json`, or nil if there is none.
  func config() throws(EmbedFuseError) -> JSON? {
    try json(FilePath.join(source.transformerFolder, "config.json"))
  }

  /// The vocabulary; nil if the model has none that is known here.
  func vocabulary() throws(EmbedFuseError) -> Vocabulary? {
    if let tokens { return tokens }
    let vocabulary = try Vocabulary(self)
    tokens = .some(vocabulary)
    return vocabulary
  }
}
