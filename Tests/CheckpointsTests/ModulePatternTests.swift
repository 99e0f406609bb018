import TensorCore
import Testing

@testable import Checkpoints

/// Patterns of module names, against what Python's `re.match(r"(.*\.)?(pattern)$", name)` gives.
@Suite struct ModulePatternTests {
  @Test(arguments: [
    ("query", "encoder.layer.0.attention.self.query", true), ("query", "query", true),
    ("query", "encoder.xquery", false), ("query", "encoder.query.dense", false),
    ("self.query", "a.self.query", true),
    ("self.query", "a.selfxquery", true), (#"self\.query"#, "a.selfxquery", false),
    (#"layer\.[0-3]\..*\.query"#, "encoder.layer.2.attention.self.query", true),
    (#"layer\.[0-3]\..*\.query"#, "encoder.layer.5.attention.self.query", false),
    (#"layer\.(0|11)\.output"#, "layer.11.output", true),
    (#"layer\.(0|11)\.output"#, "layer.1.output", false),
    (#"layer\.\d{1,2}\.x"#, "layer.12.x", true), (#"layer\.\d{1,2}\.x"#, "layer.123.x", false),
    (#"\d{2,}"#, "1", false), (#"\d{2,}"#, "a.1234", true), (#"\d{,2}x"#, "x", true),
    (#"\d{2}"#, "a.12", true),
    ("^query", "query", true), ("^query", "a.query", false), ("query$", "a.query", true),
    ("a$b", "a$b", false),
    ("(?:q|v)_proj", "m.v_proj", true), ("[^q]_proj", "m.q_proj", false), ("[^q]_proj", "m.v_proj", true),
    ("[a-c]+", "m.abcabc", true), ("[a-c]+?", "m.abd", false), ("a?b", "b", true), ("a?b", "ab", true),
    (".*", "", true), ("", "a.", true), ("", "a", false), ("q|k|v", "x.k", true), ("(q|)x", "x", true),
    (#"\w+_proj"#, "gate_proj", true), (#"\W"#, "a.-", true), (#"\D"#, "a.1", false), (#"[\d]x"#, "1x", true),
    ("[]]", "]", true), ("[a-]", "-", true), ("ä.", "xä.", false), ("(a|b)*c", "ababc", true),
    ("(a*)*b", "aab", true),
  ]) func matchesAsPythonDoes(pattern: String, name: String, matches: Bool) throws {
    #expect(try ModulePattern(pattern, path: "c").matches(name) == matches)
  }

  @Test(arguments: [
    ("(a", "lacks a ')'"), ("a)", "a ')' too many"), ("[a", "lacks a ']'"), ("*a", "repeats nothing"),
    ("a**", "repeats a repetition"), ("(?=a)", "not supported"), (#"(a)\1"#, "not supported"),
    (#"a\"#, "backslash"),
    ("a{3,2}", "fewer times"), ("a{99999}", "too many times"), ("a{", "unknown number"),
    ("a{2", "lacks a '}'"),
    ("[z-a]", "backwards"), (#"\bq"#, "not supported"), ("((a{1000}){1000})", "too long"),
    (String(repeating: "(", count: 100), "too deep"),
  ]) func refusesWhatItDoesNotKnow(pattern: String, problem: String) throws {
    let error = try #require(throws: EmbedFuseError.self) { try ModulePattern(pattern, path: "c") }
    #expect(error.code == .badData && error.problem.contains(problem), "\(error)")
  }

  @Test func hostilePatternsTakeNoTime() throws {
    let pattern = try ModulePattern("(a|a|aa)*(a*)*(a+)+b", path: "c")
    #expect(!pattern.matches(String(repeating: "a", count: 10_000)))
  }
}
