import Checkpoints
import TensorCore

/// The README.md of a fused model: what it was made from and how.
struct ModelCard {
  let text: String

  init(_ plan: FusionPlan) {
    let isSentenceModel = !plan.reference.modules.isEmpty
    let tags =
      (isSentenceModel ? ["sentence-transformers", "feature-extraction"] : []) + ["merge", "embedfuse"]
    var lines = ["---"]
    if isSentenceModel { lines.append("library_name: sentence-transformers") }
    lines += ["tags:"] + tags.map { "- \($0)" } + ["---", "", "# Fused model", ""]
    let models = plan.recipe.models.map { "`\(FusionManifest.portable($0).printable)`" }
    lines.append(
      "Fused by embedfuse \(embedFuseVersion) from \(models.joined(separator: ", "))"
        + (plan.recipe.base.map { ", fine-tuned from `\(FusionManifest.portable($0).printable)`." } ?? "."))
    lines += ["", "| setting | value |", "|---|---|", "| method | \(plan.recipe.method.name) |"]
    lines += plan.recipe.method.parameterValues.map { "| \($0.name) | \($0.value) |" }
    if let type = plan.recipe.elementType { lines.append("| element type | \(type) |") }
    lines += [
      "",
      "`embedfuse.json` records the inputs' digests and every setting; `embedfuse verify` checks this model against it.",
    ]
    if isSentenceModel {
      lines += [
        "", "```python", "from sentence_transformers import SentenceTransformer", "",
        "model = SentenceTransformer(\"path/to/this/folder\")", "```",
      ]
    }
    text = lines.joined(separator: "\n") + "\n"
  }
}
