@_exported import Checkpoints
@_exported import Fusion
@_exported import enum Kernels.InstructionSet
@_exported import TensorCore

/// The version of embedfuse, as manifests and `--version` give it.
public let embedFuseVersion = "0.1.0"
