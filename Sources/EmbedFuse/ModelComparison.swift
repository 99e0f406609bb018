import TensorCore

/// How far models moved from their base, and how they differ from each other: tensor by tensor, layer by layer, and in
/// all.
///
/// δ_k = θ_k − θ₀ are the models' deltas. All sums are taken in binary64 in a fixed order, so that the same inputs give
/// the same numbers everywhere.
public struct ModelComparison: Sendable, Hashable, Codable {
  /// The base's path as given.
  public let base: String
  /// The models' paths, as given or as a training run's checkpoints are called.
  public let models: [String]
  /// All tensors together.
  public let total: Part
  /// The layers, in the order in which the base has them.
  public let layers: [Part]
  /// The tensors of floating-point numbers that the base and at least one model have, in the base's order.
  public let tensors: [Part]
  /// The rows of tables, such as embeddings, that moved most.
  public let tables: [Table]
  /// The tensors that can't be compared.
  public let mismatches: [Mismatch]
  /// What should be told.
  public let notes: [String]

  /// A tensor, a layer, or all.
  public struct Part: Sendable, Hashable, Codable {
    /// Its name; `all` for all tensors together.
    public let name: String
    /// The layer that a tensor belongs to, else nil.
    public let layer: String?
    /// A tensor's extents, else nil.
    public let shape: [Int]?
    /// The number of elements.
    public let elements: Int
    /// ‖θ₀‖₂.
    public let baseNorm: Double
    /// What each model did; nil for a model that has none of it.
    public let models: [Movement?]
    /// The cosines of the angles between deltas, pair by pair: (0,1), (0,2), …, (1,2), …; nil where one of the two is
    /// zero, or their squares leave binary64.
    public let cosines: [Double?]
    /// The number of elements that at least two models moved.
    public let contested: Int
    /// The number of elements that some models moved up and some down.
    public let conflicts: Int
    /// The conflicts' share of the contested elements; nil where there are none.
    public let conflictShare: Double?

    enum CodingKeys: String, CodingKey {
      case name, layer, shape, elements, models, cosines, contested, conflicts
      case baseNorm = "base_norm"
      case conflictShare = "conflict_share"
    }
  }

  /// How far one model moved.
  public struct Movement: Sendable, Hashable, Codable {
    /// ‖δ_k‖₂.
    public let norm: Double
    /// ‖δ_k‖₂/‖θ₀‖₂ over the tensors that the model has, the denominator 1 where θ₀ is all zero.
    public let relativeNorm: Double
    /// The root of the mean δ_k².
    public let rms: Double
    /// The greatest |δ_k|.
    public let greatest: Double
    /// The number of elements that it left as they were.
    public let zeros: Int
    /// Their share of all elements.
    public let sparsity: Double
    /// The weight that delta-guided fusion gives it, by element and with the power 1: the mean of |δ_k| / Σ_j |δ_j|.
    public let weight: Double

    enum CodingKeys: String, CodingKey {
      case norm, rms, greatest, zeros, sparsity, weight
      case relativeNorm = "relative_norm"
    }
  }

  /// The rows of one table that moved most.
  public struct Table: Sendable, Hashable, Codable {
    /// The tensor's name.
    public let tensor: String
    /// The rows, from the one that any model moved most.
    public let rows: [Row]
  }

  /// One row of a table.
  public struct Row: Sendable, Hashable, Codable {
    /// Its index.
    public let index: Int
    /// The token that it stands for, as the tokenizer writes it; nil where that isn't known.
    public let token: String?
    /// ‖θ₀‖₂ of the row.
    public let baseNorm: Double
    /// ‖δ_k‖₂ of the row; nil for a model that lacks the table.
    public let norms: [Double?]

    enum CodingKeys: String, CodingKey {
      case index, token, norms
      case baseNorm = "base_norm"
    }
  }

  /// A tensor that one model and the base don't share.
  public struct Mismatch: Sendable, Hashable, Codable {
    /// Why it can't be compared.
    public enum Kind: String, Sendable, Hashable, Codable {
      /// The model lacks it.
      case missing
      /// The base lacks it.
      case extra
      /// Shape or kind of element are others.
      case otherForm = "other_form"
    }

    /// The tensor's name.
    public let tensor: String
    /// The model's place among `models`.
    public let model: Int
    /// Why it can't be compared.
    public let kind: Kind
  }
}

extension ModelComparison {
  /// The pairs of models in the order of `Part.cosines`.
  public var pairs: [(first: Int, second: Int)] {
    models.indices.flatMap { first in (first + 1..<models.count).map { (first, $0) } }
  }

  /// A letter for each model, a number beyond 26 models: for narrow columns.
  public var marks: [String] {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".map(String.init)
    return models.indices.map { models.count <= letters.count ? letters[$0] : String($0 + 1) }
  }

  /// A short name for each model: as many components from the end of its path as tell it apart.
  public var labels: [String] {
    let paths = models.map { $0.split(separator: "/").map(String.init) }
    for length in 1...max(1, paths.map(\.count).max() ?? 1) {
      let labels = paths.map { $0.suffix(length).joined(separator: "/") }
      if Set(labels).count == labels.count { return labels }
    }
    return models.enumerated().map { "\($1) (\($0 + 1))" }
  }
}
