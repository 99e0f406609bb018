import EmbedFuse
import Testing

/// Recipes that are refused: with the line, and with what to write instead.
@Suite struct RecipeRefusalTests {
  @Test(arguments: [
    ("models: [a]\nmethd: soup", "line 2: a recipe has no key 'methd'", "did you mean 'method'?"),
    (
      "method: soup\nmodels: [a]\nparameters: {normalise: true}", "line 3: soup has no parameter 'normalise'",
      "did you mean 'normalize'?"
    ),
    ("method: tie\nmodels: [a]", "line 1: there is no method 'tie'", "did you mean ties?"),
    (
      "method: soup\nmodels:\n  - {model: a, wieght: 1}", "line 3: a model has no key 'wieght'",
      "did you mean 'weight'?"
    ),
    (
      "method: soup\nmodels:\n  - model: a\n    parameters: {weight: [1, {value: 2}]}",
      "line 4: weight mixes values and rules", ""
    ),
    ("method: soup\nmodels:\n  - model: a\n    parameters: {weight: }", "line 4: weight has no value", ""),
    (
      "method: ties\nbase: b\nmodels:\n  - {model: a, density: 1.5}",
      "line 4: density is '1.5'; it must be a number from 0 to 1", ""
    ),
    ("method: soup\nmodels: [a, a]", "line 2: the model a is listed twice", ""),
    ("method: soup\nmodels: [a]\nslices: []", "line 3: the recipe has both models and slices", ""),
    ("method: soup", "line 1: the recipe has neither models nor slices", ""),
    (
      "method: soup\nmerge_method: linear\nparameters: {weight: 1}\nmodels: [a]",
      "line 2: 'method' and 'merge_method' are the same",
      ""
    ),
    ("method: soup\nmodels: [a]\ndtype: int8", "line 3: 'int8' is no element type that can be fused", ""),
    ("method: soup\nmodels: [a]\nmissing: keep", "line 3: missing is 'keep'", "error, base, drop"),
    ("merge_method: ties\nbase_model: b\nmodels: [a]", "line 1: the model a has no weight", "weight: 1.0"),
    (
      "merge_method: linear\nparameters: {weight: 1}\nmodels: [a]\ntokenizer_source: union",
      "line 4: the union of tokenizers is not supported", ""
    ),
    (
      "merge_method: linear\nparameters: {weight: 1}\nmodels: [a]\ntokenizer: {source: base, tokens: {x: {source: a}}}",
      "line 4: 'tokens' is not supported", ""
    ),
    (
      "merge_method: linear\nparameters: {weight: 1}\nmodels: [a]\nchat_template: chatml",
      "line 4: a chat template of one's own is not supported", ""
    ),
    (
      "merge_method: linear\nexperts: []\nmodels: [a]",
      "line 2: 'experts' is not supported: mixtures of experts", ""
    ),
    ("merge_method: moe\nmodels: [a]", "line 1: 'moe': mixtures of experts are not made here", ""),
    ("merge_method: linear\nmodels: ['org/model@main']", "line 2: '@revision' is not supported", ""),
    (
      "merge_method: linear\nmodels: [{model: {path: a, revision: x}}]",
      "line 2: 'revision' is not supported", ""
    ),
    (
      "merge_method: linear\nmodules: {a: {models: [x]}, b: {models: [x]}}",
      "line 2: there are 2 modules; one is supported", ""
    ),
    ("merge_method: linear\nslices:\n - sources: [{model: a}]", "line 3: a source must say its layers", ""),
    (
      "merge_method: linear\nslices:\n - sources: [{model: a, layer_range: [3, 1]}]",
      "line 3: layer_range must be two numbers", ""
    ),
    (
      "method: soup\nmodels: [a]\noutputs:\n - {path: x, grid: {lambda: [1, 2]}}",
      "line 4: two outputs have the path x", "fused-{lambda}"
    ),
    (
      "method: ties\nbase: b\nmodels: [{model: a, parameters: {lambda: 0.1}}]",
      "line 3: lambda holds for all models",
      "move it"
    ),
    (
      "method: soup\nmodels: [a]\noutputs:\n - {path: 'x{lamda}', grid: {lambda: [1]}}",
      "line 4: the path names '{lamda}'", "lambda"
    ),
    (
      "merge_method: linear\nparameters: {weight: 1}\nbase_model: b\nmodels: [a]\noutputs: [{path: x, method: model_stock}]",
      "line 5: model-stock measures from the base, which is one of the models", ""
    ),
    ("modles: [a]", "has no key 'modles'", "did you mean 'models'?"),
    (
      "method: soup\nmodels: [a]\noutputs:\n - {path: 'x{foo}', grid: {foo: [1]}}",
      "line 4: soup has no parameter 'foo'", ""
    ),
    (
      "method: soup\nmodels: [a]\noutput: x\noutputs: [{path: y}]",
      "line 3: the recipe has both 'output' and 'outputs'", ""
    ),
    (
      "method: soup\nmodels: [a]\n---\nmethod: soup\nmodels: [a]",
      "line 1: this document has no name, but others follow", ""
    ),
    (
      "method: delta-guided\nbase: b\nmodels: [a]\nparameters: {granularity: [{filter: x, value: row}]}",
      "line 4: granularity shapes the passes", ""
    ),
    (
      "method: soup\nmodels: [a]\nparameters: {normalize: [{regex: '(', value: true}]}",
      "line 3: '(' is no regular expression", ""
    ),
    ("method: soup\nmodels: [a\n", "line 3, column 1: is no YAML: did not find expected ',' or ']'", "close"),
    ("method: soup\nmodels:\n\t- a\n", "line 3, column 1: is no YAML", "never tabs"),
    ("method: soup\nmodels: ['a]\n", "is no YAML", "quotes"),
    ("method: soup\nmethod: ties\nmodels: [a]", "line 1: the map that starts here has the key 'method'", ""),
    ("method: soup\nmodels: [a]\n[b]: c", "line 3: a key must be a word", ""),
    ("method: soup\nmodels: a", "line 2: models must be a list", "- "),
    ("method: soup\nmodels:", "line 2: models must be a list", ""),
    ("method: soup\nmodels: [{weight: 1}]", "line 2: a model must have a path", "model: PATH"),
    ("method: soup\nmodels: [{model: {revision: }}]", "line 2: a model must have a path", ""),
    ("method: soup\nmodels: [{model: a, lora: {}}]", "line 2: a model has no key 'lora'", ""),
    ("method: soup\nmodels: ['']", "line 2: a path is empty", ""),
    (
      "method: soup\nmodels: [{model: a, weight: 1, parameters: {weight: 2}}]",
      "line 2: 'weight' is given twice for this model", ""
    ),
    ("method: soup\nmodels: [a]\nlambda: 1", "line 3: a recipe has no key 'lambda'", "under 'parameters:'"),
    ("method: soup\nmodels: [a]\nparameters: 3", "line 3: parameters must be names with values", ""),
    (
      "method: soup\nmodels: [a]\nparameters: {lambda: {filter: x}}", "line 3: a rule must have a value",
      "value: 0.5"
    ),
    (
      "method: soup\nmodels: [a]\nparameters: {lambda: {value: {}}}",
      "line 3: a rule's value must be one value or a list", ""
    ),
    ("method: soup\nslices: [{}]", "line 2: a slice must list its sources", ""),
    ("method: soup\nslices: [{sources: []}]", "line 2: sources must be a list", ""),
    ("method: soup\nmodules: [a]", "line 2: modules must be names", ""),
    ("method: soup\nmodels: [a]\noutput: [x, y]", "line 3: an output must be a text", ""),
    ("method: soup\nmodels: [a]\noutputs: x", "line 3: outputs must be a list", ""),
    ("method: soup\nmodels: [a]\noutputs: [{method: ties}]", "line 3: an output must have a path", ""),
    (
      "method: soup\nmodels: [a]\noutputs: [{path: x, grid: 3}]", "line 3: a grid must be keys with lists", ""
    ),
    (
      "method: soup\nmodels: [a]\noutputs: [{path: 'x{lambda}', grid: {lambda: 3}}]",
      "line 3: 'lambda' of a grid must be a list", ""
    ),
    (
      "method: soup\nmodels: [a]\noutputs: [{path: 'x{seed}', grid: {seed: [a]}}]", "line 3: seed is 'a'", ""
    ),
    ("method: soup\nmodels: [a]\nseed: -1", "line 3: seed is '-1', but must be a whole number", ""),
    ("method: soup\nmodels: [a]\nstrict_pickle: maybe", "line 3: strict_pickle is 'maybe'", "true or false"),
    ("method: soup\nmodels: [a]\nfisher: x", "line 3: fisher must be a list", ""),
    ("method: soup\nmodels: [a]\nfisher: [[x]]", "line 3: fisher must be a list of paths", ""),
    (
      "name: x\nmethod: soup\nmodels: [a]\n---\nname: x\nmethod: soup\nmodels: [a]\n---\nmethod: soup\nmodels: [x]",
      "there are two steps named 'x'", ""
    ),
    (
      "name: x\nmethod: soup\nmodels: [a]\noutput: y\n---\nmethod: soup\nmodels: [x]",
      "the step 'x' has outputs of its own", ""
    ),
    ("- a\n- b", "line 1: a recipe must be keys with values", ""),
    ("", "holds no recipe", ""),
    (String(repeating: "[", count: 100_000), "nested more than 100 deep", ""),
    (String(repeating: "- ", count: 100_000), "nested more than 100 deep", ""),
  ])
  func isRefusedWithItsLine(text: String, problem: String, remedy: String) {
    let error = #expect(throws: EmbedFuseError.self) { try RecipeFile(text: text, path: "r.yaml") }
    #expect(error?.problem.contains(problem) == true, "\(error?.problem ?? "")")
    #expect(
      error?.remedy?.contains(remedy) == true || error?.remedy != nil && remedy.isEmpty,
      "\(error?.remedy ?? "no remedy")")
  }
}
