/// How much weight each model was given, over the elements of a block, tensor or model.
public struct WeightTally: Sendable, Hashable {
  /// The sum over elements of each model's weight.
  public var sums: [Double]
  /// The least weight that each model had in a row or larger group.
  public var minima: [Double]
  /// The greatest weight that each model had in a row or larger group.
  public var maxima: [Double]
  /// The number of elements.
  public var elementCount: Int

  /// An empty tally for this number of models.
  public init(modelCount: Int) {
    sums = Array(repeating: 0, count: modelCount)
    minima = Array(repeating: .infinity, count: modelCount)
    maxima = Array(repeating: -.infinity, count: modelCount)
    elementCount = 0
  }

  /// Each model's mean weight over the elements; empty if there are none.
  public var means: [Double] {
    elementCount == 0 ? [] : sums.map { $0 / Double(elementCount) }
  }

  /// Counts a group of elements that share their weights.
  public mutating func add(weights: [Double], elementCount count: Int) {
    for (k, weight) in weights.enumerated() {
      sums[k] += weight * Double(count)
      minima[k] = min(minima[k], weight)
      maxima[k] = max(maxima[k], weight)
    }
    elementCount += count
  }

  /// Counts elements whose weights were summed one by one.
  public mutating func add(sums: [Double], elementCount count: Int) {
    for (k, sum) in sums.enumerated() { self.sums[k] += sum }
    elementCount += count
  }

  /// Adds a tally of some of the models, given by their places.
  public mutating func merge(_ other: WeightTally, models: [Int]) {
    for (k, model) in models.enumerated() {
      sums[model] += other.sums[k]
      minima[model] = min(minima[model], other.minima[k])
      maxima[model] = max(maxima[model], other.maxima[k])
    }
    elementCount += other.elementCount
  }

  /// Adds another tally of the same models.
  public mutating func merge(_ other: WeightTally) {
    for k in sums.indices {
      sums[k] += other.sums[k]
      minima[k] = min(minima[k], other.minima[k])
      maxima[k] = max(maxima[k], other.maxima[k])
    }
    elementCount += other.elementCount
  }
}
