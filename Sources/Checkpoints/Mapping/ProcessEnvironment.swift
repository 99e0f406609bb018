import Glibc

/// The environment variables of this process.
public enum ProcessEnvironment {
  /// A variable's value; nil if it isn't set.
  public static func value(of name: String) -> String? {
    guard let text = unsafe getenv(name) else { return nil }
    return unsafe String(cString: text)
  }
}
