import EmbedFuse

/// A line on the terminal that tells how far a fusion has come: bytes, rate, time left.
enum ProgressLine {
  /// Runs `body`; shows the line meanwhile if `isShown`.
  static func showing<Result: Sendable>(
    _ isShown: Bool, _ body: @escaping @Sendable (FusionProgress) async throws -> Result
  ) async throws -> Result {
    let progress = FusionProgress()
    guard isShown else { return try await body(progress) }
    return try await withThrowingTaskGroup(of: Result?.self) { group in
      group.addTask { try await body(progress) }
      group.addTask {
        let clock = ContinuousClock()
        let start = clock.now
        while !Task.isCancelled {
          try? await Task.sleep(for: .milliseconds(200))
          let text = line(progress, seconds: (clock.now - start) / .seconds(1))
          if !Task.isCancelled, !text.isEmpty { Console.errorText("\r\u{1B}[K\(text)") }
        }
        Console.errorText("\r\u{1B}[K")
        return nil
      }
      defer { group.cancelAll() }
      while let result = try await group.next() {
        guard let result else { continue }
        // The line clears itself before anything else is printed.
        group.cancelAll()
        try await group.waitForAll()
        return result
      }
      throw CancellationError()
    }
  }

  private static func line(_ progress: FusionProgress, seconds: Double) -> String {
    let (done, total) = (progress.completedBytes, progress.totalBytes)
    guard total > 0, done > 0, seconds > 0 else { return "" }
    let share = min(1, Double(done) / Double(total))
    let filled = Int(share * 24)
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 24 - filled)
    let left = Int(limiting: (seconds / share - seconds).rounded(.up))
    return
      "[\(bar)] \(Int(share * 100)) %  \(Readable.bytes(done)) of \(Readable.bytes(total))  \(Readable.bytes(Int(limiting: Double(done) / seconds)))/s  \(left) s left"
  }
}
