import EmbedFuse
import TestSupport
import Testing

/// Every number has a text; `Int(_:)` of one beyond `Int` would end the process.
@Suite struct FigureTextTests {
  /// The ends of binary64, powers of ten and their neighbours, and any bits at all.
  static let extremes: [Double] = {
    var values = [
      0, -0.0, .nan, .signalingNaN, .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude,
      .leastNormalMagnitude, 0x1p53, 0x1p62, 0x1p63, 0x1p64, -0x1p63,
    ]
    for exponent in -323...308 {
      let value = Double("1e\(exponent)")!
      values += [value, -value, value.nextUp, value.nextDown]
    }
    var generator = SeededGenerator(seed: 19)
    for _ in 0..<20_000 { values.append(Double(bitPattern: generator.next())) }
    return values
  }()

  @Test func everyNumberHasAText() {
    for value in Self.extremes {
      let texts = [
        FigureText.significant(value), FigureText.hundredths(value), FigureText.percent(value),
      ]
      for text in texts {
        #expect((3...20).contains(text.count) || value == 0, "\(value): \(text)")
        let number = Double(text.replacing(" %", with: ""))
        #expect(number.map { $0.isNaN == value.isNaN } ?? false, "\(value): \(text)")
      }
      guard value.isFinite, value.magnitude > 1e-300, value.magnitude < 1e300 else { continue }
      #expect(abs(Double(texts[0])! / value - 1) < 0.006, "\(value): \(texts[0])")
      #expect(abs(Double(texts[1])! - value) <= 0.006 * max(1, value.magnitude), "\(value): \(texts[1])")
    }
  }

  @Test func ordinaryFiguresReadAsPeopleWriteThem() {
    #expect(FigureText.significant(0.0123) == "0.0123" && FigureText.significant(1e19) == "1.00e+19")
    #expect(FigureText.hundredths(-0.456) == "-0.46" && FigureText.hundredths(-0.001) == "0.00")
    #expect(FigureText.percent(0.1234) == "12.3 %" && FigureText.percent(-0.05) == "-5.0 %")
    #expect(FigureText.percent(.nan) == "nan %" && FigureText.hundredths(-.infinity) == "-inf")
  }
}
