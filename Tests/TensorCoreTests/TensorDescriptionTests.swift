import Testing

@testable import TensorCore

@Suite struct TensorDescriptionTests {
  @Test func everyElementTypeHasItsNameAndSize() {
    for type in ElementType.allCases {
      #expect(ElementType(name: type.name) == type)
      #expect(ElementType(name: type.name.lowercased()) == nil)
      #expect(ElementType(commonName: type.name.lowercased()) == type)
    }
    #expect(ElementType(commonName: "bfloat16") == .bf16)
    #expect(ElementType(commonName: "float128") == nil)
    #expect(ElementType.f4.byteCount(ofElements: 6) == 3 && ElementType.f6E2M3.byteCount(ofElements: 4) == 3)
  }

  @Test func noShapeIsLargerThanAnyFile() {
    #expect(Shape([])?.elementCount == 1)
    #expect(Shape([0, 384])?.elementCount == 0 && Shape([0, 384])?.rowLength == 384)
    #expect(Shape([1 << 28, 0, 1 << 28])?.elementCount == 0)
    #expect(Shape([1 << 28, 1 << 28])?.byteCount(of: .f64) == 1 << 59)
    for extents: [UInt] in [
      [.max, 2], [.max, 2, 0], [(1 << 56) + 1], [1 << 32, 1 << 32], [1 << 29, 1 << 28],
    ] {
      #expect(Shape(extents) == nil && Shape([0] + extents) == nil && Shape(extents + [0]) == nil)
    }
    #expect(TensorInfo(name: "odd", elementType: .f4, shape: Shape([3])!) == nil)
    #expect(TensorInfo(name: "even", elementType: .f4, shape: Shape([4])!)?.byteCount == 2)
  }

  @Test func messagesNameThePlaceAndCanNotSteerATerminal() {
    let error = EmbedFuseError(
      .badData, "is wrong", path: "a\u{1B}[31m/b", tensor: "x\ny", offset: 7, remedy: "mend it")
    #expect(error.description == "a\\u{1b}[31m/b: tensor x\\u{a}y: byte 7: is wrong\n  mend it")
  }
}
