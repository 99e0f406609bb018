import Checkpoints

extension ModelComparison {
  /// The comparison for programs, with the keys of its `Codable` form.
  public var json: JSON {
    [
      "base": .string(base), "models": .array(models.map { .string($0) }), "total": total.json,
      "layers": .array(layers.map(\.json)), "tensors": .array(tensors.map(\.json)),
      "tables": .array(
        tables.map { ["tensor": .string($0.tensor), "rows": .array($0.rows.map(\.json))] }),
      "mismatches": .array(
        mismatches.map {
          ["tensor": .string($0.tensor), "model": .number($0.model), "kind": .string($0.kind.rawValue)]
        }), "notes": .array(notes.map { .string($0) }),
    ]
  }
}

extension ModelComparison.Part {
  fileprivate var json: JSON {
    var object: JSON.Object = ["name": .string(name)]
    object["layer"] = layer.map { .string($0) }
    object["shape"] = shape.map { .array($0.map { .number($0) }) }
    object["elements"] = .number(elements)
    object["base_norm"] = .number(baseNorm)
    object["models"] = .array(models.map { $0?.json ?? .null })
    object["cosines"] = .array(cosines.map { $0.map { .number($0) } ?? .null })
    object["contested"] = .number(contested)
    object["conflicts"] = .number(conflicts)
    object["conflict_share"] = conflictShare.map { .number($0) } ?? .null
    return .object(object)
  }
}

extension ModelComparison.Movement {
  fileprivate var json: JSON {
    [
      "norm": .number(norm), "relative_norm": .number(relativeNorm), "rms": .number(rms),
      "greatest": .number(greatest), "zeros": .number(zeros), "sparsity": .number(sparsity),
      "weight": .number(weight),
    ]
  }
}

extension ModelComparison.Row {
  fileprivate var json: JSON {
    [
      "index": .number(index), "token": token.map { .string($0) } ?? .null, "base_norm": .number(baseNorm),
      "norms": .array(norms.map { $0.map { .number($0) } ?? .null }),
    ]
  }
}
