import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct JSONTests {
  @Test func readsEveryKindOfValueInOrder() throws {
    let json = try JSON.parse(
      #" {"z" : [null, true,false , -0.5e+3], "a":{"b":"\u00e9\ud83d\ude00\n\/\"\\\b\f\r\t é😀"}, "" : 12} "#)
    #expect(json.objectValue?.keys == ["z", "a", ""])
    #expect(json["z"] == [.null, true, false, .number("-0.5e+3")])
    #expect(json["z"]?.arrayValue?.last?.doubleValue == -500)
    #expect(json["a"]?["b"]?.stringValue == "é😀\n/\"\\\u{8}\u{C}\r\t é😀")
    #expect(json[""]?.intValue == 12)
    #expect(json["missing"] == nil && json["a"]?.intValue == nil)
  }

  /// What RFC 8259 forbids, the byte at which it shows, and what the message says of it.
  static let invalid: [(text: String, offset: Int, message: String)] = [
    ("", 0, "the text ends where a value is expected"),
    ("  ", 2, "the text ends where a value is expected"),
    ("\u{FEFF}{}", 0, "byte 0xEF stands where a value is expected"),
    ("{} x", 3, "'x' stands where the end is expected"),
    ("[1,]", 3, "']' stands where a value is expected"),
    ("[,1]", 1, "',' stands where a value is expected"),
    ("[1 2]", 3, "'2' stands where ',' or ']' is expected"),
    ("[1", 2, "the text ends where ',' or ']' is expected"),
    (#"{"a":1,}"#, 7, "'}' stands where a key in quotes is expected"),
    (#"{"a" 1}"#, 5, "'1' stands where ':' is expected"),
    (#"{"a":1 "b":2}"#, 7, "'\"' stands where ',' or '}' is expected"),
    ("{a:1}", 1, "'a' stands where a key in quotes is expected"),
    ("[1}", 2, "'}' stands where ',' or ']' is expected"),
    ("// c\n1", 0, "'/' stands where a value is expected"),
    ("\u{A0}1", 0, "byte 0xC2 stands where a value is expected"),
    ("nul", 0, "'n' stands where a value is expected"),
    ("True", 0, "'T' stands where a value is expected"),
    ("NaN", 0, "'N' stands where a value is expected"),
    ("+1", 0, "'+' stands where a value is expected"),
    (".5", 0, "'.' stands where a value is expected"),
    ("-", 1, "the text ends where a digit is expected"),
    ("1.", 2, "the text ends where a digit is expected"),
    ("1.e5", 2, "'e' stands where a digit is expected"),
    ("1e", 2, "the text ends where a digit is expected"),
    ("01", 0, "a number starts with 0"),
    ("-01", 1, "a number starts with 0"),
    ("0x10", 1, "'x' stands where the end is expected"),
    (#""abc"#, 4, "the text ends inside a string"),
    (#""\"#, 2, "the text ends inside a string"),
    ("\"a\nb\"", 2, "a control character stands unescaped in a string"),
    (#""\x""#, 1, "a string has an unknown escape"),
    (#""\u12g4""#, 5, "'g' stands where four hexadecimal digits is expected"),
    (#""a\ud800""#, 2, "a string escapes half of a surrogate pair"),
    (#""\udc00\ud800""#, 1, "a string escapes half of a surrogate pair"),
    (#""\ud800\u0041""#, 1, "a string escapes half of a surrogate pair"),
    (#"{"a":1,"b":{},"a":2}"#, 14, "the key 'a' stands here for the second time"),
    (#"[{"\u0061":1,"a":2}]"#, 13, "the key 'a' stands here for the second time"),
  ]

  @Test(arguments: invalid) func rejects(text: String, offset: Int, message: String) throws {
    let error = try #require(throws: EmbedFuseError.self) { try JSON.parse(text) }
    #expect(error.code == .badData)
    #expect(error.offset == offset && error.problem == "invalid JSON: " + message, "\(error)")
  }

  @Test(
    arguments: [
      [0x22, 0xFF, 0x22], [0x22, 0x61, 0xC0, 0xAF, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
      [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], [0x22, 0x61, 0xE2, 0x82, 0x22], [0x22, 0x5C, 0x6E, 0xFF, 0x22],
    ] as [[UInt8]])
  func rejectsInvalidUTF8(bytes: [UInt8]) throws {
    let error = try #require(throws: EmbedFuseError.self) { try JSON.parse(bytes.span) }
    #expect(error.problem == "invalid JSON: a string isn't valid UTF-8")
    #expect(error.offset == bytes.firstIndex { $0 >= 0x80 })
  }

  @Test func nestingStopsAtItsLimit() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try JSON.parse(nested(128))
    for text in [nested(129), nested(100_000), String(repeating: "{\"a\":", count: 100_000)] {
      let error = try #require(throws: EmbedFuseError.self) { try JSON.parse(text) }
      #expect(error.problem == "invalid JSON: values nest more than 128 deep")
    }
    // Side by side is not nested.
    _ = try JSON.parse("[" + repeatElement("[{}]", count: 1000).joined(separator: ",") + "]")
  }

  @Test func theLastDuplicateWinsWhereAsked() throws {
    let json = try JSON.parse(#"{"a":1,"b":2,"a":3}"#, duplicateKeys: .lastWins)
    #expect(json == ["a": 3, "b": 2])
    #expect(json.objectValue?.keys == ["a", "b"])
  }

  @Test func keysThatUnicodeTakesForEquivalentStayApart() throws {
    // é as one character, and as e with an accent: two tokens of a vocabulary.
    let json = try JSON.parse(#"{"\u00e9":1,"e\u0301":2}"#)
    #expect(json.objectValue?.members.count == 2)
    #expect(json["\u{E9}"] == 1 && json["e\u{301}"] == 2)
    #expect(try JSON.parse(#""\u00e9""#) != JSON.parse(#""e\u0301""#))
  }

  @Test func objectsAreEqualWhateverTheirOrder() throws {
    let (a, b) = (try JSON.parse(#"{"x":[1],"y":{"z":2}}"#), try JSON.parse(#"{"y":{"z":2},"x":[1]}"#))
    #expect(a == b && a.hashValue == b.hashValue)
    #expect(a != ["x": [1]])
    #expect(try JSON.parse("1") != JSON.parse("1.0"))
  }

  @Test func membersAreFoundHoweverManyThereAre() {
    var object = JSON.Object()
    for index in 0..<50 { object["key\(index)"] = .number(index) }
    for index in 0..<50 { #expect(object["key\(index)"] == .number(index)) }
    for index in stride(from: 0, to: 50, by: 2) { object["key\(index)"] = nil }
    object["key1"] = "changed"
    #expect(object.keys == stride(from: 1, to: 50, by: 2).map { "key\($0)" })
    #expect(object["key0"] == nil && object["key1"] == "changed" && object["key49"] == 49)
    for index in stride(from: 3, to: 50, by: 2) { object["key\(index)"] = nil }
    #expect(object == ["key1": "changed"])
  }

  @Test func numbersKeepTheirSpellingAndTheirValue() throws {
    for text in ["0", "-0", "1.10", "1E400", "123456789012345678901234567890", "5e-324"] {
      #expect(try JSON.parse(text).compactText == text)
    }
    #expect(try JSON.parse("9223372036854775807").intValue == Int.max)
    #expect(try JSON.parse("9223372036854775808").intValue == nil)
    #expect(try JSON.parse("1E400").doubleValue == nil)
    for value in [0.1, 1.0 / 3, .leastNonzeroMagnitude, .greatestFiniteMagnitude, -2.5e-8, 1e22, 3] {
      #expect(try JSON.parse(JSON.number(value).compactText).doubleValue == value)
    }
    #expect(JSON.number(-7).compactText == "-7" && JSON.number(0.1).compactText == "0.1")
  }

  @Test func writesTheSameTextEveryTime() throws {
    let json: JSON = [
      "name": "a\"b\\c\n\u{1}é/", "empty": [], "none": [:], "list": [1, 2], "nested": [["k": .null]],
    ]
    #expect(
      json.compactText
        == #"{"name":"a\"b\\c\n\u0001é/","empty":[],"none":{},"list":[1,2],"nested":[{"k":null}]}"#)
    #expect(
      json.prettyText == #"""
        {
          "name": "a\"b\\c\n\u0001é/",
          "empty": [],
          "none": {},
          "list": [1, 2],
          "nested": [
            {
              "k": null
            }
          ]
        }

        """#)
    #expect(try JSON.parse(json.compactText) == json)
    #expect(try JSON.parse(json.prettyText) == json)
  }

  @Test func errorsNameTheFileAndItsByte() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/config.json"
      try Data(#"{"a":1,"a":}"#.utf8).write(to: URL(fileURLWithPath: path))
      let error = try #require(throws: EmbedFuseError.self) { try JSON.read(path) }
      #expect(error.path == path && error.offset == 11)
      try Data(#"{"a":1,"a":2}"#.utf8).write(to: URL(fileURLWithPath: path))
      #expect(try JSON.read(path) == ["a": 2])
    }
  }
}
