/// Models that stand in the folder of another, and would go with it if that were replaced.
enum NestedModels {
  /// The names of the folders in a directory that hold models of their own: checkpoints of a training run, and others
  /// unless they are modules of the model there, or the directory was written by embedfuse.
  static func names(in directory: String, entries: [String]) -> [String] {
    // What is looked at here is no input.
    InputLog.$current.withValue(nil) {
      let isOurs = entries.contains(CompanionFiles.manifest)
      let list = FilePath.join(directory, "modules.json")
      let modules = Set(((try? SentenceModule.list(at: list)) ?? []).map(\.path))
      return entries.filter { name in
        let folder = FilePath.join(directory, name)
        guard FilePath.kind(of: folder) == .directory else { return false }
        // Where optimizers split the weights among them, these have names of their own.
        if TrainingRun.step(ofFolder: name) != nil {
          return (try? FilePath.names(in: folder).isEmpty) == false
        }
        guard !isOurs, !modules.contains(name) else { return false }
        return WeightFiles.holdsModel(folder) || Adapter.isAdapter(at: folder)
      }
    }
  }
}
