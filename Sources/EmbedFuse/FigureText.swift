/// Numbers as people read them; every `Double` has a text, also infinities (`inf`) and NaN (`nan`).
public enum FigureText {
  /// A number with so many significant digits: `0.0123`, `1.23e-05`, `-451`.
  public static func significant(_ value: Double, digits: Int = 3) -> String {
    guard value.isFinite else { return String(value) }
    guard value != 0 else { return "0" }
    var (exponent, scaled) = (0, value.magnitude)
    while scaled >= 10 { (exponent, scaled) = (exponent + 1, scaled / 10) }
    while scaled < 1 { (exponent, scaled) = (exponent - 1, scaled * 10) }
    var limit = 1
    for _ in 0..<digits { limit *= 10 }
    var number = Int((scaled * Double(limit / 10)).rounded())
    if number == limit { (exponent, number) = (exponent + 1, limit / 10) }
    let figures = String(number)
    let sign = value < 0 ? "-" : ""
    switch exponent {
    case -4..<0: return sign + "0." + String(repeating: "0", count: -exponent - 1) + figures
    case 0..<digits - 1: return sign + figures.prefix(exponent + 1) + "." + figures.dropFirst(exponent + 1)
    case digits - 1: return sign + figures
    default:
      let size = exponent.magnitude
      return
        "\(sign)\(figures.prefix(1)).\(figures.dropFirst())e\(exponent < 0 ? "-" : "+")\(size < 10 ? "0" : "")\(size)"
    }
  }

  /// From here on digits behind the point mean nothing in binary64.
  private static let plainLimit = 1e15

  /// A number with two digits behind the point; one of 10^15 or more as `significant` gives it.
  public static func hundredths(_ value: Double) -> String {
    guard value.magnitude < plainLimit else { return significant(value) }
    let whole = Int((value.magnitude * 100).rounded())
    let sign = value < 0 && whole > 0 ? "-" : ""
    return "\(sign)\(whole / 100).\(whole % 100 < 10 ? "0" : "")\(whole % 100)"
  }

  /// A share in percent with one digit behind the point.
  public static func percent(_ share: Double) -> String {
    guard share.magnitude < plainLimit / 100 else { return significant(share * 100) + " %" }
    let tenths = Int((share.magnitude * 1000).rounded())
    return "\(share < 0 && tenths > 0 ? "-" : "")\(tenths / 10).\(tenths % 10) %"
  }

  /// A count with thin spaces between thousands: `22 713 216`.
  public static func count(_ value: Int) -> String {
    var groups: [String] = []
    var rest = String(value)
    while rest.count > 3 {
      groups.append(String(rest.suffix(3)))
      rest.removeLast(3)
    }
    return ([rest] + groups.reversed()).joined(separator: "\u{2009}")
  }
}
