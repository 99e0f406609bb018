import TensorCore

/// What a file is by its first bytes, for files under the name of another kind.
struct FileSignature {
  /// What the bytes are those of.
  let kind: String
  /// The endings that such files have, the usual one first.
  let endings: [String]

  /// The signature of a file; nil if it is none that is known, or can't be read.
  init?(of path: String) {
    guard let file = try? InputFile(path), let head = try? file.bytes(0..<min(file.byteCount, 64)) else {
      return nil
    }
    if head.starts(with: "version https://git-lfs.".utf8) {
      (kind, endings) = ("a pointer of Git LFS in the place of the file", [])
    } else if head.starts(with: [0x89, 0x48, 0x44, 0x46]) {
      (kind, endings) = ("an HDF5 file", [".h5", ".hdf5"])
    } else if head.starts(with: "GGUF".utf8) {
      (kind, endings) = ("a GGUF file", [".gguf"])
    } else if head.starts(with: [0x93] + Array("NUMPY".utf8)) {
      (kind, endings) = ("a NumPy array", [".npy"])
    } else if head.starts(with: TorchFile.streamMagic) {
      (kind, endings) = ("a PyTorch file", Self.torch)
    } else if head.count > 8, head[8] == UInt8(ascii: "{"), head[5..<8].allSatisfy({ $0 == 0 }) {
      (kind, endings) = ("a safetensors file", [".safetensors"])
    } else if head.starts(with: [0x50, 0x4B, 3, 4]), let archive = try? ZipArchive(file) {
      let names = archive.entries.map(\.name)
      if names.contains(where: { $0.hasSuffix("/data.pkl") }) {
        (kind, endings) = ("a PyTorch file", Self.torch)
      } else if names.contains("model.weights.h5") {
        (kind, endings) = ("a Keras archive", [".keras"])
      } else if names.contains(where: { $0.hasSuffix(".npy") }) {
        (kind, endings) = ("a NumPy archive", [".npz"])
      } else {
        return nil
      }
    } else {
      return nil
    }
  }

  private static let torch = [".pt", ".bin", ".pth", ".ckpt"]
}

extension EmbedFuseError {
  /// The error of a file that could not be opened as what its name says, with what it is if that is something else.
  func recognizing(_ path: String) -> EmbedFuseError {
    guard [.badData, .missingInput].contains(code), let signature = FileSignature(of: path),
      !signature.endings.contains(where: path.hasSuffix)
    else { return advisingNewCopy }
    guard let ending = signature.endings.first else {
      return EmbedFuseError(code, "is \(signature.kind)", path: path, remedy: "fetch it: git lfs pull")
    }
    return EmbedFuseError(
      code, "is \(signature.kind) under another name", path: path, remedy: "give it the ending \(ending)")
  }

  /// The error, with what can be done about a damaged file if it is one of which no more is known.
  var advisingNewCopy: EmbedFuseError {
    var error = self
    if code == .badData, remedy == nil {
      error.remedy = "the file is damaged, or has changed since it was written: download or copy it again"
    }
    return error
  }
}
