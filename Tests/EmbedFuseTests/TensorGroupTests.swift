import Checkpoints
import Foundation
import TestSupport
import Testing

@testable import EmbedFuse

/// Groups of tensors that are under way at the same time.
@Suite struct TensorGroupTests {
  /// So many, and searched with so little memory, that there are several groups.
  static let shapes: [(String, [UInt])] = (0..<11).map { ("encoder.layer.\($0).weight", [40, 1000]) }

  static func options(threads: Int, memory: Int = 80 << 20) -> OutputOptions {
    OutputOptions(overwrite: true, synchronize: false, memory: memory, threads: threads)
  }

  @Test(arguments: ["ties", "sce"]) func groupsChangeNoBit(method: String) async throws {
    let folder = try TemporaryFolder()
    let paths = try PropertyTests.family(folder, shapes: Self.shapes)
    let parameters = method == "ties" ? ["density": "0.3"] : ["select_topk": "0.5"]
    let recipe = Recipe(
      base: paths[0], models: Array(paths[1...]),
      method: try MethodSettings(named: method, parameters: parameters))
    let expected = try await PropertyTests.fuse(
      recipe, to: folder("whole.safetensors"), options: Self.options(threads: 1, memory: 1 << 30))
    for (threads, name) in [(1, "1.safetensors"), (3, "3.safetensors"), (1, "1.h5"), (3, "3.h5")] {
      let found = try await PropertyTests.fuse(
        recipe, to: folder(name), options: Self.options(threads: threads))
      for tensor in expected.names {
        #expect(found.tensors[tensor]?.bytes == expected.tensors[tensor]?.bytes, "\(tensor), \(name)")
      }
    }
  }

  @Test(arguments: [0, 10], ["fused.safetensors", "fused.h5"])
  func aGroupThatFailsEndsTheRun(tensor: Int, name: String) async throws {
    let folder = try TemporaryFolder()
    let paths = try PropertyTests.family(folder, shapes: Self.shapes)
    // Tensors lie one after the other; this is the last element of one.
    let size = try FileManager.default.attributesOfItem(atPath: paths[1])[.size] as! Int
    let file = try #require(FileHandle(forWritingAtPath: paths[1]))
    try file.seek(toOffset: UInt64(size - (10 - tensor) * 160_000 - 4))
    try file.write(contentsOf: [0, 0, 0xC0, 0x7F])
    try file.close()
    let recipe = Recipe(
      base: paths[0], models: Array(paths[1...]),
      method: try MethodSettings(named: "ties", parameters: ["density": "0.3"]))
    let error = try await #require(throws: EmbedFuseError.self) {
      try await FusionPlan(recipe).run(to: folder(name), options: Self.options(threads: 3))
    }
    #expect(error.problem.contains("element 39999 is NaN"), "\(error)")
    #expect(error.tensor == "encoder.layer.\(tensor).weight" && error.path == paths[1], "\(error)")
    #expect(!FileManager.default.fileExists(atPath: folder(name)))
  }

  @Test(arguments: 1...3) func runsAtOnceShareTheWorkersOfAPool(width: Int) async throws {
    let pool = WorkerPool(width: width)
    let running = Locked((now: 0, most: 0, taken: 0))
    try await withThrowingTaskGroup(of: Int.self) { tasks in
      for _ in 0..<5 {
        tasks.addTask {
          try await pool.run(
            8,
            worker: {
              running.withLock {
                $0.now += 1; $0.most = max($0.most, $0.now)
              }; return 0
            },
            job: { index, done in
              usleep(500)
              done += 1
            },
            gathered: { done in
              running.withLock { $0.now -= 1 }
              return done
            }, whenTaken: { running.withLock { $0.taken += 1 } }
          ).reduce(0, +)
        }
      }
      for try await done in tasks { #expect(done == 8) }
    }
    let (now, most, taken) = running.withLock { $0 }
    #expect(now == 0 && most <= width && taken == 5)
  }

  @Test(.enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1))
  func aRunTakesTheWorkersThatAnotherDoesNotNeed() async throws {
    let pool = WorkerPool(width: 2)
    // Each of two runs has one job, which ends when the other's has begun.
    let (first, second) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    try await withThrowingTaskGroup(of: [Bool].self) { tasks in
      for (own, other) in [(first, second), (second, first)] {
        tasks.addTask {
          try await pool.run(
            1, worker: { false },
            job: { _, hasMet in
              own.signal()
              hasMet = other.wait(timeout: .now() + 120) == .success
            }, gathered: { $0 })
        }
      }
      for try await hasMet in tasks { #expect(hasMet == [true]) }
    }
  }

  @Test func turnsComeInOrderAndAFailureEndsThem() async throws {
    struct Failure: Error {}
    let order = GroupOrder()
    let turns = Locked<[Int]>([])
    await withTaskGroup(of: Void.self) { tasks in
      for group in [2, 0, 1] {
        tasks.addTask {
          guard (try? await order.waitForTurn(of: group)) != nil else { return }
          turns.withLock { $0.append(group) }
          order.passOn()
        }
      }
      await tasks.waitForAll()
      #expect(turns.withLock { $0 } == [0, 1, 2])
      tasks.addTask {
        await #expect(throws: Failure.self) { try await order.waitForTurn(of: 9) }
      }
      order.fail(with: Failure())
      await tasks.waitForAll()
    }
    await #expect(throws: Failure.self) { try await order.waitForTurn(of: 3) }
  }
}
