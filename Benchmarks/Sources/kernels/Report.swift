import Kernels

/// The kernels' rates as Markdown.
enum Report {
  /// Larger than any cache.
  private static let memory = 192 << 20

  /// Prints the rates of the kernels whose name contains `text`, on every instruction set that this machine has.
  static func print(of text: String) {
    let arena = Arena(size: memory)
    let best = InstructionSet.best
    let sets = InstructionSet.allCases.prefix { $0 != best } + [best]
    var copies: [Int: [Double]] = [:]
    for (name, kernels) in Kernel.families {
      let chosen = kernels.filter { text.isEmpty || $0.name.contains(text) }
      guard !chosen.isEmpty else { continue }
      let columns = sets.map { "\($0)" }.joined(separator: " | ")
      Swift.print("\n\(name), GB/s of what is read and written:\n")
      Swift.print(
        "| | KB a call | cache: memcpy | \(columns) | memory: memcpy | \(columns) |\n"
          + "|---|--:" + String(repeating: "|--:", count: 2 * sets.count + 2) + "|")
      for kernel in chosen {
        if copies[kernel.moved] == nil {
          copies[kernel.moved] = [false, true].map { arena.rate(ofCopying: kernel.moved, fromMemory: $0) }
        }
        var cells = [kernel.name, "\((kernel.moved + 512) / 1024)"]
        for (fromMemory, copy) in zip([false, true], copies[kernel.moved]!) {
          cells.append(rounded(copy))
          for set in sets {
            InstructionSet.use(set)
            cells.append(rounded(arena.rate(of: kernel, fromMemory: fromMemory)))
          }
        }
        Swift.print("| " + cells.joined(separator: " | ") + " |")
      }
    }
  }

  /// A rate with about three digits.
  static func rounded(_ rate: Double) -> String {
    if rate >= 100 { return "\(Int(rate.rounded()))" }
    let scale: Double = rate >= 10 ? 10 : 100
    return "\((rate * scale).rounded() / scale)"
  }
}
