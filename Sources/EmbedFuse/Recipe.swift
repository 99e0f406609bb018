import Checkpoints
import Fusion
import TensorCore

/// What to fuse and how: everything that, with the inputs' contents, decides the output's bytes.
public struct Recipe: Sendable {
  /// The pretrained initialization θ₀: decides names, order, configuration and tokenizer. A method that
  /// averages weights can do without; its first model then takes that place.
  public var base: String?
  /// The fine-tunes θ₁…θ_K.
  public var models: [String]
  /// The method and the parameters that hold for all models.
  public var method: MethodSettings
  /// The weight c_k of each model; empty for the method's default, 1 each.
  public var weights: [TensorValue]
  /// What else each model has of its own, by parameter: densities, for example; empty for nothing.
  public var modelParameters: [[String: TensorValue]]
  /// A checkpoint that goes with each model, such as a Fisher diagonal; empty for none.
  public var companions: [String]
  /// The layers that the output is put together from; empty to fuse layer by layer.
  public var slices: [Slice]
  /// The element type of fused tensors; nil for the base's own.
  public var elementType: ElementType?
  /// The type that results are rounded to first, before they are rounded to the element type, as mergekit's `dtype`
  /// and `out_dtype` do; nil to round once.
  public var intermediateType: ElementType?
  /// True to fuse into the type that torch would promote a tensor's inputs to, where no type is given.
  public var promotesTypes = false
  /// What to do about tensors that some inputs lack.
  public var missing: MissingPolicy
  /// What to do about NaN and infinity in an input.
  public var nonFinite: NonFinitePolicy
  /// The input whose configuration and tokenizer files the output gets, counted with the base as 0; nil for
  /// the base.
  public var configFrom: Int?

  /// A recipe with the product's defaults: delta-guided fusion by element.
  public init(
    base: String? = nil, models: [String], method: MethodSettings = .deltaGuided(),
    weights: [TensorValue] = [], modelParameters: [[String: TensorValue]] = [], companions: [String] = [],
    slices: [Slice] = [], elementType: ElementType? = nil, missing: MissingPolicy = .error,
    nonFinite: NonFinitePolicy = .error, configFrom: Int? = nil
  ) {
    self.base = base
    self.models = models
    self.method = method
    self.weights = weights
    self.modelParameters = modelParameters
    self.companions = companions
    self.slices = slices
    self.elementType = elementType
    self.missing = missing
    self.nonFinite = nonFinite
    self.configFrom = configFrom
  }

  /// Which checkpoints of the training runs among the models are meant; nil to take each model as it is.
  public var selection: CheckpointSelection?

  /// The checkpoint to which an .h5 output is stored as differences; nil to store values. Options of the output go
  /// first.
  public var relativeTo: String?

  /// How the inputs' files are read where there is a choice.
  public var opening = OpeningOptions()

  /// Fusions that take the place of inputs: a base or model with such a name is not read from disk, but fused on the
  /// way. A step may take those before it.
  public var steps: [Step] = []

  /// The paths of all inputs, the base first if there is one.
  public var inputs: [String] { (base.map { [$0] } ?? []) + models + companions }

  /// These, with those of the steps.
  public var allInputs: [String] { inputs + steps.flatMap(\.recipe.inputs) }
}

extension Recipe {
  /// A fusion that others take as a model.
  public struct Step: Sendable {
    /// The name by which they do.
    public let name: String
    /// The fusion.
    public let recipe: Recipe

    /// A fusion with a name.
    public init(name: String, recipe: Recipe) {
      self.name = name
      self.recipe = recipe
    }
  }

  /// A run of layers of the output and the layers of the inputs that it is fused from.
  public struct Slice: Sendable {
    /// Layers of one input.
    public struct Source: Sendable {
      /// The model, counted from 0; nil for the base.
      public var model: Int?
      /// Its layers.
      public var layers: Range<Int>
      /// The parameters of this model here.
      public var parameters: [String: TensorValue]

      /// Layers of one input.
      public init(model: Int?, layers: Range<Int>, parameters: [String: TensorValue] = [:]) {
        self.model = model
        self.layers = layers
        self.parameters = parameters
      }
    }

    /// What is fused, each as many layers.
    public var sources: [Source]
    /// The parameters of all models here.
    public var parameters: [String: TensorValue]

    /// A run of layers.
    public init(sources: [Source], parameters: [String: TensorValue] = [:]) {
      self.sources = sources
      self.parameters = parameters
    }
  }
}

/// What to do about a tensor that some inputs lack.
public enum MissingPolicy: String, Sendable, CaseIterable {
  /// Stop and list all of them.
  case error
  /// Keep the base's tensor as it is; leave out what the base lacks.
  case base
  /// Leave the tensor out.
  case drop
}
