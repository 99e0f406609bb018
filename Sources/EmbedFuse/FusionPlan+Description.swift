import Checkpoints
import Fusion
import TensorCore

/// A plan for people and programs to look at.
public struct PlanDescription: Sendable {
  /// One input.
  public struct Input: Sendable {
    /// Its path as given.
    public let path: String
    /// `base` or `model`.
    public let role: String
    /// How many tensors it has.
    public let tensorCount: Int
    /// Bytes of its tensors.
    public let byteCount: Int
  }

  /// One tensor of the output.
  public struct Tensor: Sendable {
    /// Its name.
    public let name: String
    /// `fused`, or `copied` from the base.
    public let making: String
    /// Its element type in the output.
    public let elementType: ElementType
    /// Its extents.
    public let shape: Shape
    /// The layer it belongs to; empty for a copied tensor.
    public let layer: String
    /// The weight c_k that the recipe gives each model; empty for a copied tensor.
    public let weights: [Double]
    /// The method's parameters for this tensor, each with where it comes from; empty for a copied tensor.
    public let parameters: [ResolvedParameter]
  }

  /// The method's name.
  public let method: String
  /// The method's parameters, resolved.
  public let parameters: [(name: String, value: String)]
  /// The inputs, the base first.
  public let inputs: [Input]
  /// The output's tensors, in order.
  public let tensors: [Tensor]
  /// What should be told.
  public let notes: [String]
  /// Bytes of the output's tensors, before compression.
  public let byteCount: Int

  /// The plan for programs.
  public var json: JSON {
    var parameters = JSON.Object()
    for (name, value) in self.parameters { parameters[name] = .string(value) }
    return [
      "method": .string(method),
      "parameters": .object(parameters),
      "inputs": .array(
        inputs.map {
          [
            "path": .string($0.path), "role": .string($0.role), "tensors": .number($0.tensorCount),
            "bytes": .number($0.byteCount),
          ]
        }),
      "notes": .array(notes.map { .string($0) }),
      "bytes": .number(byteCount),
      "tensors": .array(
        tensors.map {
          [
            "name": .string($0.name), "making": .string($0.making), "dtype": .string($0.elementType.name),
            "shape": .array($0.shape.dimensions.map { .number(String($0)) }), "layer": .string($0.layer),
            "weights": .array($0.weights.map { .number($0) }),
            "parameters": .array($0.parameters.map(\.json)),
          ]
        }),
    ]
  }
}

extension ResolvedParameter {
  /// The values for people: one where all models have the same.
  public var summary: String {
    Set(texts).count == 1 ? texts[0] : texts.joined(separator: ",")
  }

  /// The parameter for programs.
  var json: JSON {
    [
      "name": .string(name), "values": .array(values.map { .number($0) }),
      "from": .array(origins.map { .string($0) }),
    ]
  }
}

extension FusionPlan {
  /// What would be done, tensor by tensor.
  public func description() -> PlanDescription {
    PlanDescription(
      method: recipe.method.name, parameters: recipe.method.parameterValues,
      inputs: inputs.enumerated().map { index, input in
        PlanDescription.Input(
          path: input.path, role: index == 0 && recipe.base != nil ? "base" : "model",
          tensorCount: input.tensors.count,
          byteCount: input.tensors.reduce(0) { $0 + $1.stored.info.byteCount })
      },
      tensors: tensors.map { tensor in
        PlanDescription.Tensor(
          name: tensor.info.name, making: tensor.context == nil ? "copied" : "fused",
          elementType: tensor.info.elementType,
          shape: tensor.info.shape, layer: tensor.context?.layer ?? "",
          weights: tensor.context.map { $0.parameters["weight"] ?? $0.priors } ?? [],
          parameters: tensor.parameters)
      }, notes: notes, byteCount: tensors.reduce(0) { $0 + $1.info.byteCount })
  }
}
