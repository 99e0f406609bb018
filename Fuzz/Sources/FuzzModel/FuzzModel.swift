import EmbedFuse
import FuzzInput
import Glibc

/// The files of a model's directory that are made of parts of an input.
private let names: [String] = [
  "modules.json", "config.json", "config_sentence_transformers.json", "sentence_bert_config.json",
  "tokenizer.json", "tokenizer_config.json", "vocab.txt", "1_Pooling/config.json", "2_Dense/config.json",
  "adapter_config.json", "trainer_state.json", "checkpoint-10/trainer_state.json", "latest",
  "model.safetensors.index.json", "special_tokens_map.json", "zero_to_fp32.py",
  // Of the following a part lists the tensors.
  "model.safetensors", "adapter_model.safetensors", "2_Dense/model.safetensors",
  "checkpoint-10/model.safetensors", "checkpoint-9/adapter_model.safetensors",
  "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
]

/// The model that adapters are applied to, and that the others are compared with.
private let base: Void = {
  let tensors = """
    embeddings.word_embeddings.weight 8 4
    encoder.layer.0.query.weight 4 4
    encoder.layer.0.query.bias 4
    encoder.layer.1.query.weight 4 4
    pooler.dense.weight 4 4
    """
  FuzzInput.write(FuzzInput.safetensors(tensors.utf8), to: "base/model.safetensors")
  FuzzInput.write(
    Array(#"{"model_type": "bert", "hidden_size": 4, "vocab_size": 8}"#.utf8), to: "base/config.json")
  FuzzInput.write(Array("[PAD]\n[UNK]\na\nb\nc\nd\ne\nf\n".utf8), to: "base/vocab.txt")
}()

/// What the directory holds from the last input; the fuzzer tries one at a time.
nonisolated(unsafe) private var written: [String] = []

/// Directories of models, adapters and training runs: parts that a byte 0x1E separates, each a file, which its first
/// byte chooses from `a` on.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzModel(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  base
  for name in written { unlink("\(FuzzInput.folder)/model/\(name)") }
  written = []
  for part in UnsafeRawBufferPointer(start: start, count: count).split(separator: 0x1E).prefix(12) {
    let name = names[Int(part.first! &- UInt8(ascii: "a")) % names.count]
    let bytes =
      name.hasSuffix(".safetensors") ? FuzzInput.safetensors(part.dropFirst()) : Array(part.dropFirst())
    FuzzInput.write(bytes, to: "model/\(name)")
    written.append(name)
  }
  let model = "\(FuzzInput.folder)/model"
  let described = try? ModelSource.open(model, options: OpeningOptions(describing: true))
  let isTraining = TrainingRun(at: model) != nil
  // What can't be described can't be fused either, but for the checkpoints of a training run.
  guard described != nil || isTraining else { return 0 }
  _ = try? described?.ignoredFiles()
  for selection in isTraining ? ["last:1", "best:loss"] : [nil] {
    var recipe = Recipe(base: "\(FuzzInput.folder)/base", models: [model])
    recipe.missing = .base
    recipe.selection = try? selection.map { try CheckpointSelection($0) }
    if let plan = try? FusionPlan(recipe) {
      do { try FuzzInput.read(plan.inputs.flatMap { $0.tensors.map(\.stored) }) } catch {}
    }
  }
  return 0
}
