import Kernels

/// A pass over the inputs that finds something out before blocks can be fused.
public struct Stage: Sendable, Hashable {
  /// What one result is taken over.
  public enum Scope: Sendable {
    /// Each row by itself: its results are at hand whenever a tile of the row is visited, up to the next stage
    /// over `rows`.
    case row
    /// Each row, all rows' results being known together afterwards: a table of rows.
    case rows
    /// Each column, the elements with the same place in every part along the first axis: a table of columns.
    case columns
    /// Each tensor.
    case tensor
    /// Each tensor, all tensors' results being known together before any block is fused.
    case model
  }

  /// What is found out.
  public enum Measure: Sendable, Hashable {
    /// So many binary64 sums.
    case sums(Int)
    /// |δ_k| and δ_k² of each of so many models in turn, and last θ₀², or 0 for those that aren't wanted: sums that
    /// the runner takes itself.
    case deltaSums(models: Int, of: DeltaSumKinds = .all)
    /// So many greatest values.
    case maxima(Int)
    /// So many binary64 sums, then so many greatest values.
    case sumsAndMaxima(sums: Int, maxima: Int)
    /// For so many channels, the keys at certain ranks among all elements of the tensor, or of the model.
    case ranks(channels: Int, of: Keys = .written)
  }

  /// What a stage over ranks orders elements by.
  public enum Keys: Sendable, Hashable {
    /// What the method writes.
    case written
    /// What the method writes, and what depends on an element's values alone, not on its place: such keys can be sampled.
    case writtenAnywhere
    /// The sizes |δ_k|, channel k, which the runner can take by itself.
    case deltaSizes
    /// The population variance of the models' deltas, the only channel, likewise.
    case deltaVariances

    /// The keys as kernels know them; nil for what a method writes.
    var stored: StoredKeys? {
      switch self {
      case .written, .writtenAnywhere: nil
      case .deltaSizes: .deltaSizes
      case .deltaVariances: .deltaVariances
      }
    }
  }

  /// What one result covers.
  public let scope: Scope
  /// What is found out.
  public let measure: Measure

  /// A stage.
  public init(over scope: Scope, _ measure: Measure) {
    self.scope = scope
    self.measure = measure
  }

  /// The numbers that a row, column or tensor gives, before `conclude`; 0 for ranks, whose number the method says.
  public var resultCount: Int {
    switch measure {
    case .sums(let count), .maxima(let count): count
    case .sumsAndMaxima(let sums, let maxima): sums + maxima
    case .deltaSums(let models, _): 2 * models + 1
    case .ranks: 0
    }
  }
}

/// What the stages before have found out for the tensor at hand, and for the row at hand.
public struct Known: Sendable, Hashable {
  private var results: [[Double]]

  /// Nothing yet, for a method of so many stages.
  public init(stageCount: Int = 0) {
    results = Array(repeating: [], count: stageCount)
  }

  /// The results of a stage: those of the tensor, of all its rows or columns one after the other, or of the row
  /// at hand.
  public subscript(stage: Int) -> [Double] {
    get { results[stage] }
    set {
      while results.count <= stage { results.append([]) }
      results[stage] = newValue
    }
  }
}

/// A rank that a stage asks for.
public enum Rank: Sendable, Hashable {
  /// So many keys come before it: 0 is the least.
  case place(Int)
  /// The first of the ⌊share·m⌋ greatest, m being the number of keys that aren't 0: where that is none, infinity.
  case greatest(share: Double)
}

/// A place in the order of the elements of a tensor, by key and then from the last to the first, so that the lowest
/// flat index counts as the greatest of equal keys.
public struct Boundary: Sendable, Hashable {
  /// The key of the element at the rank.
  public let key: Double
  /// Its flat index.
  public let index: Int

  /// The boundary of a rank, as a stage over ranks gives it: two numbers for each rank, channel by channel.
  public init(_ results: [Double], at place: Int) {
    key = results[2 * place]
    index = Int(results[2 * place + 1])
  }

  /// The least key that counts as at or above the boundary for elements all of which come before `isBefore` (up to
  /// the boundary's index) or all after.
  public func least(for elements: Range<Int>) -> Double {
    elements.upperBound <= index + 1 ? key : key.nextUp
  }

  /// The greatest key that counts as below the boundary, for the same elements.
  public func greatestBelow(for elements: Range<Int>) -> Double {
    elements.upperBound <= index + 1 ? key.nextDown : key
  }
}
