import TensorCore

/// Which checkpoints of a training run are wanted.
public enum CheckpointSelection: Sendable, Hashable {
  /// Which end of a metric is the good one.
  public enum Order: String, Sendable {
    /// The least is the best, as for a loss.
    case min
    /// The greatest is the best, as for an accuracy.
    case max
  }

  /// The last so many.
  case last(Int)
  /// The so many that are best by a metric of the run's evaluations; without an order it is inferred.
  case best(metric: String, count: Int, order: Order?)
  /// Those after these numbers of steps.
  case steps([Int])

  /// Reads `last[:N]`, `best:METRIC[:N][:min|max]` or `steps:A,B,…`.
  ///
  /// - Throws: `EmbedFuseError` (usage) for anything else.
  public init(_ text: String) throws(EmbedFuseError) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    var rest = Array(parts.dropFirst())
    switch parts[0] {
    case "last" where rest.count <= 1:
      if let count = rest.isEmpty ? 1 : Int(rest[0]), count > 0 {
        self = .last(count)
        return
      }
    case "best":
      let order = rest.count > 1 ? rest.last.flatMap(Order.init(rawValue:)) : nil
      if order != nil { rest.removeLast() }
      let given = rest.count > 1 ? rest.last.flatMap { Int($0) } : nil
      if given != nil { rest.removeLast() }
      let metric = rest.joined(separator: ":")
      let count = given ?? 1
      if count > 0, !metric.isEmpty {
        self = .best(metric: metric, count: count, order: order)
        return
      }
    case "steps" where rest.count == 1:
      let steps = rest[0].split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
      if steps.allSatisfy({ $0 != nil && $0! >= 0 }), Set(steps).count == steps.count {
        self = .steps(steps.compactMap { $0 })
        return
      }
    default: break
    }
    throw EmbedFuseError(
      .usage, "'\(text.printable)' doesn't say which checkpoints of a run are wanted",
      remedy: "use last:3, best:eval_loss, best:eval_METRIC:3, best:eval_METRIC:3:min or steps:500,1000")
  }
}

extension CheckpointSelection: CustomStringConvertible {
  /// The text that reads back as this.
  public var description: String {
    switch self {
    case .last(let count): "last:\(count)"
    case .best(let metric, let count, let order):
      "best:\(metric):\(count)\(order.map { ":\($0.rawValue)" } ?? "")"
    case .steps(let steps): "steps:\(steps.map { String($0) }.joined(separator: ","))"
    }
  }
}
