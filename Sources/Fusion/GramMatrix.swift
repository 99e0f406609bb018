import Kernels

/// The products of some vectors with each other, from which norms, angles and every combination's length follow
/// without the vectors themselves.
struct GramMatrix: Sendable {
  /// The number of vectors.
  let count: Int
  private let products: [Double]

  /// The matrix whose pairs (j, k), j ≤ k, are given in the order of `addProducts`.
  init(_ products: some Collection<Double>, count: Int) {
    self.products = Array(products)
    self.count = count
  }

  /// The product of two of the vectors.
  subscript(j: Int, k: Int) -> Double {
    let (low, high) = (min(j, k), max(j, k))
    return products[low * count - low * (low - 1) / 2 + high - low]
  }

  /// The length of a vector.
  func norm(_ k: Int) -> Double { self[k, k].squareRoot() }

  /// The product of two combinations of the vectors.
  func product(_ a: [Double], _ b: [Double]) -> Double {
    var sum = 0.0
    for j in 0..<count where a[j] != 0 {
      for k in 0..<count { sum += a[j] * b[k] * self[j, k] }
    }
    return sum
  }

  /// The length of a combination of the vectors.
  func norm(of a: [Double]) -> Double { max(0, product(a, a)).squareRoot() }
}

/// Angles by plain arithmetic: libm's functions may differ in the last bit between processors.
enum Angle {
  /// The angle between 0 and π whose cosine is c, for −1 ≤ c ≤ 1.
  static func arccosine(_ c: Double) -> Double {
    let c = min(1, max(-1, c))
    // tan(φ/2) = √((1 − c)/(1 + c)).
    if c <= -1 { return .pi }
    return 2 * arctangent(((1 - c) / (1 + c)).squareRoot())
  }

  /// The angle between 0 and π/2 whose tangent is t ≥ 0.
  static func arctangent(_ t: Double) -> Double {
    if t > 1 { return .pi / 2 - arctangent(1 / t) }
    // Halved three times the tangent is below 0.1: tan(φ/2) = t / (1 + √(1 + t²)).
    var x = t
    for _ in 0..<3 { x = x / (1 + (1 + x * x).squareRoot()) }
    let square = x * x
    var series = 0.0
    for n in stride(from: 19, through: 1, by: -2) {
      series = series * -square + 1 / Double(n)
    }
    return 8 * x * series
  }

  /// The sine of 0 ≤ φ ≤ π and beyond, by its series after halving.
  static func sine(_ angle: Double) -> Double {
    if angle < 0 { return -sine(-angle) }
    if angle > .pi { return angle > 1e6 ? 0 : -sine(angle - .pi) }
    if angle > .pi / 2 { return sine(.pi - angle) }
    let square = angle * angle
    var series = 0.0
    for n in stride(from: 25, through: 3, by: -2) {
      series = (1 + series) * -square / Double(n * (n - 1))
    }
    return angle * (1 + series)
  }

  /// The cosine of 0 ≤ φ ≤ π and beyond.
  static func cosine(_ angle: Double) -> Double {
    let half = sine(angle / 2)
    return 1 - 2 * half * half
  }
}
