import CKernels
import Glibc
import TensorCore

/// The instruction sets that the kernels are compiled for. All give the same bits.
public enum InstructionSet: String, Sendable, CaseIterable {
  /// Plain C for any processor.
  case baseline
  /// x86-64 with AVX2.
  case v3
  /// x86-64 with AVX-512.
  case v4

  /// The best one that this processor has.
  public static var best: InstructionSet { InstructionSet(ck_best_level()) }

  /// The one in use: the best, unless `use` chose another.
  public static var current: InstructionSet { InstructionSet(ck_current_level()) }

  /// Uses another instruction set if the processor has it; for comparing them.
  public static func use(_ set: InstructionSet) {
    switch set {
    case .baseline: ck_use_level(CK_BASELINE)
    case .v3: ck_use_level(CK_X86_64_V3)
    case .v4: ck_use_level(CK_X86_64_V4)
    }
  }

  /// Uses the one that the environment's variable `EMBEDFUSE_KERNELS` names, as far as the processor has it.
  ///
  /// - Throws: `EmbedFuseError` (usage) for a name of none.
  public static func useThatOfEnvironment() throws(EmbedFuseError) {
    guard let value = unsafe getenv("EMBEDFUSE_KERNELS"), case let name = unsafe String(cString: value),
      !name.isEmpty
    else { return }
    guard let set = InstructionSet(rawValue: name) else {
      throw EmbedFuseError(
        .usage, "the environment's EMBEDFUSE_KERNELS names no instruction set, but '\(name)'",
        remedy:
          "leave it out for the best, or name one of \(allCases.map(\.rawValue).joined(separator: ", "))")
    }
    use(set)
  }

  private init(_ level: ck_level) {
    switch level {
    case CK_X86_64_V4: self = .v4
    case CK_X86_64_V3: self = .v3
    default: self = .baseline
    }
  }
}
