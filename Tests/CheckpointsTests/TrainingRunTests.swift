import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

/// Which checkpoints of a training run are meant.
@Suite struct TrainingRunTests {
  static let sample = Fixtures.path("samples/trainer/run")

  /// A run with a record of evaluations in each checkpoint's folder.
  ///
  /// - Parameter evaluations: by step, what was measured; a step of `checkpoints` may be absent.
  static func run(
    _ folder: TemporaryFolder, checkpoints: [Int], evaluations: [(Int, String)], best: String = ""
  ) throws -> TrainingRun {
    for step in checkpoints {
      let history = evaluations.filter { $0.0 <= step }.map { "{\"step\": \($0.0), \($0.1)}" }
      try ModelSourceTests.write(
        "{\(best)\"log_history\": [\(history.joined(separator: ", "))]}",
        to: folder("run/checkpoint-\(step)/trainer_state.json"))
    }
    return try #require(TrainingRun(at: folder("run")))
  }

  static func steps(_ run: TrainingRun, _ text: String) throws -> [Int] {
    try run.select(try CheckpointSelection(text)).checkpoints.map(\.step)
  }

  @Test func checkpointsAreSortedByNumber() throws {
    let folder = try TemporaryFolder()
    for name in ["1000", "200", "90", "best", "5x", "-3", "007", "99999999999999999999"] {
      try ModelSourceTests.write("x", to: folder("run/checkpoint-\(name)/config.json"))
    }
    try ModelSourceTests.write("x", to: folder("run/checkpoint-50"))
    let run = try #require(TrainingRun(at: folder("run")))
    #expect(run.checkpoints.map(\.step) == [90, 200, 1000])
    #expect(run.checkpoints[0].path == folder("run/checkpoint-90"))
    #expect(TrainingRun(at: folder("run/checkpoint-90")) == nil && TrainingRun(at: folder("nowhere")) == nil)
    #expect(try Self.steps(run, "last:2") == [200, 1000])
    #expect(try Self.steps(run, "last") == [1000])
    #expect(try Self.steps(run, "steps:1000,90") == [90, 1000])
  }

  @Test func theTrainersOwnRecordIsRead() throws {
    let run = try #require(TrainingRun(at: Self.sample))
    #expect(try Self.steps(run, "best:eval_loss") == [12])
    #expect(try Self.steps(run, "best:loss:2") == [8, 12])
    // Of equal ones the earlier: all have the accuracy 0.5.
    #expect(try Self.steps(run, "best:eval_accuracy:2") == [4, 8])
    #expect(try Self.steps(run, "best:eval_loss:1:max") == [4])
  }

  // MARK: Which end is the good one

  @Test(arguments: [
    ("eval_loss", [30]), ("eval_sts-dev_loss", [30]), ("eval_rmse", [30]), ("eval_perplexity", [30]),
    ("eval_sts-dev_spearman_cosine", [10]), ("eval_NanoBEIR_mean_cosine_ndcg@10", [10]),
    ("eval_lossless_f1", [10]),
  ]) func namesSayWhichEndIsBest(metric: String, expected: [Int]) throws {
    let folder = try TemporaryFolder()
    let values = [(10, 0.9), (20, 0.5), (30, 0.1)].map { ($0.0, "\"\(metric)\": \($0.1)") }
    let run = try Self.run(folder, checkpoints: [10, 20, 30], evaluations: values)
    let (chosen, notes) = try run.select(.best(metric: metric, count: 1, order: nil))
    #expect(chosen.map(\.step) == expected)
    #expect(notes.count == 1 && notes[0].contains("by its name; add ':"))
  }

  @Test(arguments: [
    ("\"best_metric\": 0.1, \"best_global_step\": 30, ", 30),
    ("\"best_metric\": 0.9, \"best_model_checkpoint\": \"/data/x/out/checkpoint-10\", ", 10),
    ("\"best_metric\": 0.9, \"best_model_checkpoint\": \"C:\\\\out\\\\checkpoint-10\", ", 10),
    // In the middle it says nothing, and neither does a value of another metric.
    ("\"best_metric\": 0.5, \"best_global_step\": 20, ", 10),
    ("\"best_metric\": 0.3, \"best_global_step\": 30, ", 10),
    ("\"best_metric\": null, \"best_model_checkpoint\": null, ", 10),
  ]) func theRunsOwnChoiceSaysWhichEndIsBest(best: String, expected: Int) throws {
    let folder = try TemporaryFolder()
    let values = [(10, 0.9), (20, 0.5), (30, 0.1)].map { ($0.0, "\"eval_rank\": \($0.1)") }
    let run = try Self.run(folder, checkpoints: [10, 20, 30], evaluations: values, best: best)
    #expect(try Self.steps(run, "best:eval_rank") == [expected])
  }

  // MARK: What was measured where

  @Test func onlyWhatWasMeasuredCanBeChosen() throws {
    let folder = try TemporaryFolder()
    let run = try Self.run(
      folder, checkpoints: [10, 15, 20],
      evaluations: [(10, "\"eval_f1\": 0.2"), (12, "\"eval_f1\": 0.9"), (20, "\"eval_f1\": 0.1")])
    let (chosen, notes) = try run.select(.best(metric: "f1", count: 2, order: nil))
    #expect(chosen.map(\.step) == [10, 20])
    #expect(notes[0].contains("was not measured at 15"))
    let error = try #require(throws: EmbedFuseError.self) { try Self.steps(run, "best:f1:3") }
    #expect(error.code == .usage && error.problem.contains("for 2 checkpoints, but 3 are wanted"), "\(error)")
  }

  @Test func theLastOfSeveralMeasurementsCounts() throws {
    let folder = try TemporaryFolder()
    let run = try Self.run(
      folder, checkpoints: [10, 20],
      evaluations: [
        (10, "\"eval_f1\": 0.2"), (10, "\"eval_f1\": 0.9"), (10, "\"eval_other\": 0"),
        (20, "\"eval_f1\": 0.5"),
      ])
    #expect(try Self.steps(run, "best:eval_f1") == [10])
  }

  @Test func aCheckpointsOwnRecordFillsGaps() throws {
    let folder = try TemporaryFolder()
    // The run was resumed and its history begins anew.
    var run = try Self.run(folder, checkpoints: [10], evaluations: [(10, "\"eval_f1\": 0.9")])
    run = try Self.run(folder, checkpoints: [20], evaluations: [(20, "\"eval_f1\": 0.5")])
    #expect(try Self.steps(run, "best:eval_f1") == [10])
  }

  @Test func aRecordAtTheRootServes() throws {
    let folder = try TemporaryFolder()
    for step in [1, 2] { try ModelSourceTests.write("x", to: folder("run/checkpoint-\(step)/config.json")) }
    let text = #"{"log_history": [{"step": 1, "eval_f1": 1}, {"step": 2, "eval_f1": 0.5}]}"#
    try ModelSourceTests.write(text, to: folder("run/trainer_state.json"))
    #expect(try Self.steps(try #require(TrainingRun(at: folder("run"))), "best:eval_f1") == [1])
  }

  @Test func lostLossesAreSkipped() throws {
    let folder = try TemporaryFolder()
    let run = try Self.run(
      folder, checkpoints: [1, 2, 3],
      evaluations: [
        (1, "\"eval_loss\": NaN, \"note\": \"NaN \\\" Infinity\""), (2, "\"eval_loss\": -Infinity"),
        (3, "\"eval_loss\": -0.5"),
      ])
    #expect(try Self.steps(run, "best:eval_loss") == [3])
    let text = Array(#"{"a": [NaN, -Infinity, Infinity, -1], "NaN": "\\\"NaN"}"#.utf8)
    #expect(
      String(decoding: TrainerState.withoutNonFinite(text), as: UTF8.self)
        == #"{"a": [null, null, null, -1], "NaN": "\\\"NaN"}"#)
  }

  // MARK: What is refused

  @Test(arguments: [
    "", "last:0", "last:-1", "last:x", "last:1:2", "best", "best:", "best::3", "best:m:0", "steps", "steps:",
    "steps:1,", "steps:1,1", "steps:-1", "steps:a", "first:3", "Last:3",
  ]) func refusesSelectionsThatAreNone(text: String) throws {
    let error = try #require(throws: EmbedFuseError.self) { try CheckpointSelection(text) }
    #expect(error.code == .usage && error.problem.contains("doesn't say which checkpoints"), "\(error)")
  }

  @Test(arguments: ["last:3", "best:eval_loss:1", "best:a:b:2:min", "best:eval_x:3:max", "steps:500,1000"])
  func selectionsReadBack(text: String) throws {
    #expect(try CheckpointSelection(text).description == text)
    #expect(
      try CheckpointSelection("best:eval_loss:min") == .best(metric: "eval_loss", count: 1, order: .min))
  }

  @Test(arguments: [
    ("last:4", "has 3 checkpoints, but 4 are wanted"), ("steps:4,5,6", "has no checkpoint at 5, 6"),
    ("best:eval_nothing", "has no eval_nothing for any of its checkpoints (4, 8, 12)"),
  ]) func saysWhatTheRunHas(text: String, problem: String) throws {
    let run = try #require(TrainingRun(at: Self.sample))
    let error = try #require(throws: EmbedFuseError.self) { try Self.steps(run, text) }
    #expect(error.code == .usage && error.problem.contains(problem), "\(error)")
    #expect(error.remedy?.contains(text.hasPrefix("best") ? "eval_accuracy, eval_loss" : "4, 8, 12") == true)
  }

  @Test(arguments: [
    ("{", "invalid JSON"), ("[]", "holds no log_history"), (#"{"log_history": 3}"#, "holds no log_history"),
    (#"{"log_history": [{"step": 1, "eval_f1": 0.5}]"#, "invalid JSON"), ("", "invalid JSON"),
    (#"{"log_history": [NaNa]}"#, "invalid JSON"),
  ]) func aRecordThatIsNoneIsBadData(text: String, problem: String) throws {
    let folder = try TemporaryFolder()
    try ModelSourceTests.write(text, to: folder("run/checkpoint-1/trainer_state.json"))
    let run = try #require(TrainingRun(at: folder("run")))
    let error = try #require(throws: EmbedFuseError.self) { try Self.steps(run, "best:eval_f1") }
    #expect(error.code == .badData && error.problem.contains(problem), "\(error)")
    #expect(error.path == folder("run/checkpoint-1/trainer_state.json"))
    // Without a need for it, it isn't read.
    #expect(try Self.steps(run, "last") == [1])
  }

  @Test(arguments: [
    #"{"log_history": []}"#, #"{"log_history": [1, null, {"step": "1", "eval_f1": 1}, {"eval_f1": 1}]}"#,
    #"{"log_history": [{"step": 1, "eval_f1": "high"}]}"#, #"{"log_history": [{"step": 1, "loss": 1}]}"#,
  ]) func aRecordWithoutEvaluationsIsSaid(text: String) throws {
    let folder = try TemporaryFolder()
    try ModelSourceTests.write(text, to: folder("run/checkpoint-1/trainer_state.json"))
    let run = try #require(TrainingRun(at: folder("run")))
    let error = try #require(throws: EmbedFuseError.self) { try Self.steps(run, "best:eval_f1") }
    #expect(error.code == .usage && error.remedy?.contains("was not evaluated") == true, "\(error)")
  }

  @Test func aRunWithoutARecordIsSaid() throws {
    let folder = try TemporaryFolder()
    try ModelSourceTests.write("x", to: folder("run/checkpoint-1/config.json"))
    let run = try #require(TrainingRun(at: folder("run")))
    let error = try #require(throws: EmbedFuseError.self) { try Self.steps(run, "best:eval_f1") }
    #expect(error.code == .missingInput && error.problem.contains("no trainer_state.json"), "\(error)")
  }

  // MARK: Opening a run as a model

  @Test func theFinalModelIsTakenWithANote() throws {
    let source = try ModelSource.open(Self.sample)
    #expect(
      source.notes.count == 1 && source.notes[0].contains("its checkpoints (4, 8, 12)"), "\(source.notes)")
    #expect(try ModelSource.open(Self.sample + "/checkpoint-4").notes.isEmpty)
  }

  @Test func withoutAFinalModelTheCheckpointsAreListed() throws {
    let folder = try TemporaryFolder()
    for step in [500, 1000] {
      try ModelSourceTests.write("x", to: folder("run/checkpoint-\(step)/config.json"))
    }
    let error = try #require(throws: EmbedFuseError.self) { try ModelSource.open(folder("run")) }
    #expect(
      error.code == .missingInput && error.remedy?.contains("with the checkpoints 500, 1000") == true,
      "\(error)")
    #expect(error.remedy?.contains("--select last:3, best:eval_METRIC or steps:1000") == true)
  }
}

/// What DeepSpeed, FSDP and accelerate leave in a folder.
@Suite struct ShardedStateTests {
  static func open(_ files: [String: String]) throws -> EmbedFuseError {
    let folder = try TemporaryFolder()
    for (name, text) in files { try ModelSourceTests.write(text, to: folder("model/" + name)) }
    return try #require(throws: EmbedFuseError.self) { try ModelSource.open(folder("model")) }
  }

  static func weights(_ files: [String: String]) throws -> String? {
    let folder = try TemporaryFolder()
    for (name, text) in files { try ModelSourceTests.write(text, to: folder("model/" + name)) }
    return try WeightFiles.find(in: folder("model"), required: true).map {
      #expect($0.notes.count == 1 && $0.notes[0].contains("16-bit weights"))
      return String($0.path.dropFirst(folder("model/").count))
    }
  }

  @Test func findsTheWeightsOfDeepSpeed() throws {
    let states = "mp_rank_00_model_states.pt"
    let optimizer = "global_step20/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"
    #expect(
      try Self.weights(["latest": "global_step20\n", "global_step20/\(states)": "x", optimizer: "x"])
        == "global_step20/\(states)")
    #expect(try Self.weights(["latest": "tag", "tag/\(states)": "x"]) == "tag/\(states)")
    #expect(
      try Self.weights(["global_step9/\(states)": "x", "global_step20/\(states)": "x"])
        == "global_step20/\(states)")
    #expect(try Self.weights([states: "x"]) == states)
  }

  @Test func readsTheWeightsOfDeepSpeed() throws {
    let source = try ModelSource.open(Fixtures.path("samples/deepspeed"))
    #expect(source.notes.contains { $0.contains("16-bit weights are read") }, "\(source.notes)")
    let (values, full) = (try TensorValues(source), try TensorValues(AdapterTests.sample("base")))
    #expect(values.names == full.names)
    for name in full.names {
      #expect(values.doubles(name) == full.doubles(name).map { Double(Float16($0)) }, "\(name)")
    }
  }

  @Test func refusesStage3() throws {
    let error = try Self.open([
      "latest": "global_step20", "global_step20/zero_pp_rank_0_mp_rank_00_model_states.pt": "x",
    ])
    #expect(error.code == .missingInput && error.problem.contains("ZeRO stage 3"), "\(error)")
    #expect(error.remedy?.contains("zero_to_fp32.py") == true)
  }

  @Test func refusesParallelTensors() throws {
    let error = try Self.open([
      "latest": "a", "a/mp_rank_00_model_states.pt": "x", "a/mp_rank_01_model_states.pt": "x",
    ])
    #expect(error.problem.contains("parallel tensors, in 2 parts"), "\(error)")
  }

  @Test func refusesAStateWithoutWeights() throws {
    let error = try Self.open(["latest": "a", "a/other.pt": "x"])
    #expect(error.problem.contains("without mp_rank_00_model_states.pt"), "\(error)")
  }

  @Test(arguments: ["../elsewhere", "gone", "", "/etc", "a/b"]) func refusesATagThatIsNoFolderHere(
    tag: String
  ) throws {
    let error = try Self.open(["latest": tag, "a/b/mp_rank_00_model_states.pt": "x"])
    #expect(error.code == .missingInput && error.problem.contains("names the folder"), "\(error)")
  }

  @Test(arguments: ["__0_0.distcp", "pytorch_model_fsdp_0/__0_0.distcp"])
  func answersPiecesWithTheCommandThatConvertsThem(file: String) throws {
    let error = try Self.open([file: "x", "optimizer_0/__0_0.x": "x"])
    #expect(
      error.code == .missingInput && error.remedy?.contains("format_utils dcp_to_torch") == true, "\(error)")
    let sample = try #require(throws: EmbedFuseError.self) {
      try ModelSource.open(Fixtures.path("samples/dcp/one"))
    }
    #expect(sample.remedy?.contains("dcp_to_torch \(Fixtures.path("samples/dcp/one")) ") == true)
  }

  @Test func refusesOneFileForEachProcess() throws {
    let error = try Self.open(["pytorch_model_fsdp_rank0.bin": "x", "pytorch_model_fsdp_rank1.bin": "x"])
    #expect(error.problem.contains("one file for each process"), "\(error)")
  }

  @Test func weightsOfTheUsualNameGoFirst() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      atPath: TrainingRunTests.sample + "/checkpoint-4", toPath: folder("model"))
    try ModelSourceTests.write("global_step4", to: folder("model/latest"))
    try ModelSourceTests.write("x", to: folder("model/global_step4/mp_rank_00_model_states.pt"))
    #expect(try ModelSource.open(folder("model")).tensors.count == 25)
  }
}
