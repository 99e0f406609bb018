import TensorCore

/// The kernels once more, one element at a time, in plain Swift: what the C loops are held to, bit for bit.
public enum ScalarReference {
  /// The value of one stored element, given by its bits.
  public static func widened(_ bits: UInt64, as type: ElementType) -> Double {
    guard let form = BinaryForm(type) else {
      return type == .f64 ? Double(bitPattern: bits) : Double(Float(bitPattern: UInt32(bits)))
    }
    return form.value(of: Int(bits))
  }

  /// The bits of a value rounded once, to nearest and ties to even.
  public static func narrowed(_ value: Double, to type: ElementType) -> UInt64 {
    guard let form = BinaryForm(type) else {
      if value.isNaN { return type == .f64 ? 0x7FF8_0000_0000_0000 : 0x7FC0_0000 }
      return type == .f64 ? value.bitPattern : UInt64(Float(value).bitPattern)
    }
    return UInt64(form.bits(of: value))
  }

  /// As `countRounding` has it, for one value and the base's.
  public static func rounding(of value: Double, base: Double?, to type: ElementType) -> RoundingCounts {
    var counts = RoundingCounts()
    if !value.isFinite { counts.nonFinite = 1 }
    guard type != .f64 else { return counts }
    let rounded = widened(narrowed(value, to: type), as: type)
    if let base, value < base || value > base {
      counts.moved = 1
      if narrowed(base, to: type) == narrowed(value, to: type)
        || (rounded == 0 && widened(narrowed(base, to: type), as: type) == 0)
      {
        counts.vanished = 1
      }
    }
    if value.isFinite && !rounded.isFinite { counts.overflowed = 1 }
    if value != 0 && rounded == 0 { counts.underflowed = 1 }
    return counts
  }

  /// As `Differences.encode` has it, for the bits of one element.
  public static func difference(of value: UInt64, to base: UInt64, width: Int) -> UInt64 {
    let bits = UInt64(8 * width)
    let mask = UInt64.max >> (64 - bits)
    let distance = (ordered(value, bits) &- ordered(base, bits)) & mask
    // More than half way round is the other way.
    return distance < 1 << (bits - 1) ? 2 &* distance : 2 &* (mask - distance) &+ 1
  }

  /// Numbers without a sign follow those with one, which are counted downwards.
  private static func ordered(_ value: UInt64, _ bits: UInt64) -> UInt64 {
    let sign = UInt64(1) << (bits - 1)
    return value & sign == 0 ? sign + value : sign - 1 - (value & (sign - 1))
  }

  /// As `weightedMean` has it, for the values of one element.
  public static func weightedMean(of x: [Double], coefficients: [Double], divisor: Double) -> Double {
    let used = zip(x, coefficients).filter { $0.1 != 0 }
    if coefficients.reduce(0, +) == divisor, let first = used.first?.0, used.allSatisfy({ $0.0 == first }) {
      return first
    }
    return used.reduce(0.0) { $0 + $1.1 * $1.0 } / divisor
  }

  /// As `combineDeltas` has it, for the values of one element; the base is `x[0]`.
  public static func combineDeltas(of x: [Double], weights: [Double], scale: Double, isMean: Bool) -> Double {
    let used = zip(x.dropFirst(), weights).filter { $0.1 != 0 }
    if isMean && scale == 1, let first = used.first?.0, used.allSatisfy({ $0.0 == first }) { return first }
    let sum = used.reduce(0.0) { $0 + $1.1 * ($1.0 - x[0]) }
    return sum == 0 ? x[0] : x[0] + scale * sum
  }

  /// As `elementWeights` has it, for the values of one element; the base is `x[0]`.
  public static func elementWeights(
    of x: [Double], scales: [Double], priors: [Double], power: Double
  ) -> [Double] {
    let u = zip(x.dropFirst(), scales).map { $1 * ($0 - x[0]).magnitude }
    guard power != 1 else {
      let parts = zip(zip(scales, priors), x.dropFirst()).map { settings, value in
        settings.0 * settings.1 * ((value - x[0]).magnitude * 0x1p512)
      }
      let sum = parts.reduce(0, +)
      let total = priors.reduce(0, +)
      return zip(parts, priors).map { sum == 0 ? $1 / total : $0 * (1 / sum) }
    }
    let counted = zip(u, priors).filter { $0.1 != 0 }.map(\.0)
    let reference = power > 0 ? counted.max() ?? 0 : counted.filter { $0 > 0 }.min() ?? .infinity
    let someStill = counted.contains(0)
    let parts = zip(u, priors).map { u, prior -> Double in
      if prior == 0 { return 0 }
      if power > 0 && reference == 0 { return prior }
      if power < 0 && someStill { return u == 0 ? prior : 0 }
      switch power {
      case 2: return prior * ((u / reference) * (u / reference))
      case 0.5: return prior * (u / reference).squareRoot()
      case -1: return prior * (reference / u)
      default: return prior * Kernels.power(u / reference, power)
      }
    }
    let sum = parts.reduce(0, +)
    return parts.map { $0 / sum }
  }

  /// As `combineByElement` has it, for the values of one element; the base is `x[0]`.
  public static func combineByElement(of x: [Double], weights: [Double], lambda: Double) -> Double {
    let used = zip(x.dropFirst(), weights).filter { $0.1 != 0 }.map(\.0)
    if lambda == 1, let first = used.first, used.allSatisfy({ $0 == first }) { return first }
    let sum = zip(x.dropFirst(), weights).reduce(0.0) { $0 + $1.1 * ($1.0 - x[0]) }
    return sum == 0 ? x[0] : x[0] + lambda * sum
  }

  /// As `addProduct` has it, for one value: a row of the left factor and a column of the right one.
  public static func addProduct(_ left: [Double], _ right: [Double], scale: Double, to value: Double)
    -> Double
  {
    let sum = zip(left, right).reduce(0.0) { $0 + $1.0 * $1.1 }
    return sum == 0 ? value : value + scale * sum
  }

  /// Adds values to eight lanes, element i to lane i mod 8.
  public static func add(_ values: [Double], to lanes: inout [Double], at first: Int) {
    for (i, value) in values.enumerated() { lanes[first + i % laneCount] += value }
  }
}

/// How a type of 8 or 16 bits lays out sign, exponent and fraction.
private struct BinaryForm {
  let width: Int
  let fraction: Int
  let bias: Int
  /// The bits of NaN without the sign.
  let nan: Int
  /// What values beyond the largest finite one become, without the sign.
  let overflow: Int
  /// True for the types with one NaN, where -0 would be.
  let hasOneZero: Bool

  init?(_ type: ElementType) {
    switch type {
    case .f16: self.init(16, fraction: 10, bias: 15, nan: 0x7E00, overflow: 0x7C00)
    case .bf16: self.init(16, fraction: 7, bias: 127, nan: 0x7FC0, overflow: 0x7F80)
    case .f8E5M2: self.init(8, fraction: 2, bias: 15, nan: 0x7E, overflow: 0x7C)
    case .f8E4M3: self.init(8, fraction: 3, bias: 7, nan: 0x7F, overflow: 0x7F)
    case .f8E4M3FNUZ: self.init(8, fraction: 3, bias: 8, nan: 0x80, overflow: 0x80, hasOneZero: true)
    case .f8E5M2FNUZ: self.init(8, fraction: 2, bias: 16, nan: 0x80, overflow: 0x80, hasOneZero: true)
    default: return nil
    }
  }

  private init(_ width: Int, fraction: Int, bias: Int, nan: Int, overflow: Int, hasOneZero: Bool = false) {
    self.width = width
    self.fraction = fraction
    self.bias = bias
    self.nan = nan
    self.overflow = overflow
    self.hasOneZero = hasOneZero
  }

  private var sign: Int { 1 << (width - 1) }

  /// The value of the magnitude bits as a number, whatever they stand for.
  private func magnitude(_ bits: Int) -> Double {
    let exponent = bits >> fraction
    let digits = bits & (1 << fraction - 1)
    return exponent == 0
      ? Double(sign: .plus, exponent: 1 - bias - fraction, significand: Double(digits))
      : Double(sign: .plus, exponent: exponent - bias - fraction, significand: Double(digits + 1 << fraction))
  }

  func value(of bits: Int) -> Double {
    let rest = bits & (sign - 1)
    if hasOneZero && bits == nan { return .nan }
    if !hasOneZero && rest >= overflow {
      return rest == overflow && overflow != nan ? (bits & sign == 0 ? .infinity : -.infinity) : .nan
    }
    return bits & sign == 0 ? magnitude(rest) : -magnitude(rest)
  }

  /// The nearest of the two neighbours that `value` lies between, found by halving; the even one of a tie.
  func bits(of value: Double) -> Int {
    if value.isNaN { return nan }
    let size = value.magnitude
    var (low, high) = (0, overflow)
    while high - low > 1 {
      let middle = (low + high) / 2
      if magnitude(middle) <= size { low = middle } else { high = middle }
    }
    let (below, above) = (size - magnitude(low), magnitude(high) - size)
    let result = below < above || (below == above && low % 2 == 0) ? low : high
    if hasOneZero {
      return result == nan ? nan : result == 0 ? 0 : result | (value.sign == .minus ? sign : 0)
    }
    return result | (value.sign == .minus ? sign : 0)
  }
}
