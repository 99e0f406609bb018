import Checkpoints
import TensorCore

/// How a model is named: a path, or a path and an adapter that is applied to it, `model+adapter`.
enum ModelReference {
  /// True if two spellings name the same model: but for `.`, and slashes that stand twice or at the end.
  static func areSame(_ first: String, _ second: String) -> Bool { normal(first) == normal(second) }

  /// A path without `.`, and slashes that stand twice or at the end.
  static func normal(_ path: String) -> String {
    let parts = path.split(separator: "/", omittingEmptySubsequences: true).filter { $0 != "." }
    return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
  }

  /// True if something stands at a path.
  static func exists(_ path: String) -> Bool { FilePath.kind(of: path) != nil }

  /// The model and the adapter that a name joins with `+`; nil if something stands at the whole name, or at no part
  /// of it.
  static func parts(of name: String, steps: [String]) -> (model: String, adapter: String)? {
    guard name.contains("+"), !exists(name) else { return nil }
    // The last plus that splits it into what is there: adapters may follow one another.
    for place in name.indices.reversed() where name[place] == "+" {
      let (model, adapter) = (String(name[..<place]), String(name[name.index(after: place)...]))
      guard Adapter.isAdapter(at: adapter) else { continue }
      if exists(model) || steps.contains(model) || parts(of: model, steps: steps) != nil {
        return (model, adapter)
      }
    }
    return nil
  }
}
