import Checkpoints

/// How models are compared.
public struct ComparisonOptions: Sendable {
  /// Bytes of memory to stay within.
  public var memory: Int
  /// Bytes of `memory` that are taken by other things than comparing, such as the program's code.
  public var reservedMemory = 0
  /// Workers; nil for one a core.
  public var threads: Int?
  /// How many rows of each table are listed.
  public var rowCount: Int
  /// True to take the base's value where a model's is NaN or infinite; false to stop there.
  public var replacesNonFinite: Bool
  /// Which checkpoints of the training runs among the models are meant; nil to take each model as it is.
  public var selection: CheckpointSelection?
  /// How files are read where there is a choice.
  public var opening: OpeningOptions
  /// Where a page of the comparison is going to be written, which must be no file of what is compared; nil for nowhere.
  public var page: String?

  /// The product's defaults: 512 MiB, a worker a core, 20 rows, an error for values that aren't finite.
  public init(
    memory: Int = 512 << 20, threads: Int? = nil, rowCount: Int = 20, replacesNonFinite: Bool = false,
    selection: CheckpointSelection? = nil, opening: OpeningOptions = OpeningOptions()
  ) {
    self.memory = memory
    self.threads = threads
    self.rowCount = rowCount
    self.replacesNonFinite = replacesNonFinite
    self.selection = selection
    self.opening = opening
  }
}
