extension ComparisonPage {
  /// Colours are mixed from a few for each scheme, so that one number a cell does for both.
  static let style = """
    :root { --paper: #fdfdfc; --ink: #1d2129; --soft: #646b77; --line: #e3e4e8; --cell: #f1f2f4;
      --size: #1a5294; --weight: #156b54; --up: #51429f; --down: #b34a17; --on: #ffffff; }
    @media (prefers-color-scheme: dark) {
      :root { --paper: #14171c; --ink: #e6e8ec; --soft: #98a0ad; --line: #2b3038; --cell: #1d2128;
        --size: #6fb0f5; --weight: #58c9a4; --up: #a99bf5; --down: #f29a63; --on: #10131a; } }
    * { box-sizing: border-box; }
    body { margin: 0 auto; max-width: 1240px; padding: 2.5rem 1.5rem 3rem; background: var(--paper); color: var(--ink);
      font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
    h1 { margin: .1rem 0 .4rem; font-size: 1.7rem; line-height: 1.25; font-weight: 620; letter-spacing: -.01em;
      overflow-wrap: anywhere; }
    h2 { margin: 2.6rem 0 .8rem; font-size: 1.05rem; font-weight: 620; }
    p { margin: 0; }
    .eyebrow { color: var(--soft); font-size: .8rem; letter-spacing: .06em; }
    .lead, footer, figcaption span, summary span + span, .legend { color: var(--soft); }
    .name { overflow-wrap: anywhere; }
    code, .name { font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, "DejaVu Sans Mono", monospace;
      font-size: .92em; }
    .maps { display: flex; flex-wrap: wrap; gap: 2rem 2.2rem; align-items: flex-start; }
    figure { margin: 0; min-width: 0; max-width: 100%; flex: 0 1 auto; }
    figcaption { margin-bottom: .5rem; overflow-wrap: anywhere; }
    figcaption strong { font-weight: 600; }
    .scroll { overflow-x: auto; max-width: 100%; }
    table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; font-size: .86rem; }
    th { font-weight: 500; text-align: left; }
    thead th { color: var(--soft); vertical-align: bottom; }
    .map table { border-spacing: 2px; margin-left: -2px; }
    .map th span { display: block; max-width: 11rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .map thead th + th { text-align: center; padding: 0 .2rem .2rem; }
    .map thead th + th span { max-width: 7.5rem; margin: 0 auto; }
    .map tbody th { padding: 0 .7rem 0 2px; }
    .map td { min-width: 4.6rem; height: 1.75rem; padding: 0 .4rem; text-align: center; border-radius: 3px;
      background: color-mix(in oklab, var(--tint) calc(var(--l) * 100%), var(--cell)); }
    .map.size { --tint: var(--size); } .map.weight { --tint: var(--weight); } .map.cosine { --tint: var(--up); }
    .map.cosine td { background: color-mix(in oklab, var(--down) calc(var(--n, 0) * 100%),
      color-mix(in oklab, var(--up) calc(var(--l) * 100%), var(--cell))); }
    .map td.strong { color: var(--on); }
    @media (prefers-color-scheme: dark) { .map td.firm { color: var(--on); } }
    .total th, .total td { font-weight: 620; }
    .total th { padding-top: .3rem !important; padding-bottom: .3rem !important; }
    .legend { display: flex; gap: .5rem; align-items: center; margin-top: .5rem; font-size: .78rem; }
    .legend i { width: 7rem; height: .5rem; border-radius: 3px;
      background: linear-gradient(to right in oklab, var(--cell), var(--tint)); }
    .cosine .legend i { background: linear-gradient(to right in oklab, var(--down), var(--cell), var(--up)); }
    .plain th, .plain td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
    .plain tbody tr:last-child > * { border-bottom: 0; }
    .plain .n { text-align: right; padding: .3rem 0 .3rem 1.1rem; }
    .plain thead span { display: inline-block; max-width: 9rem; overflow: hidden; text-overflow: ellipsis;
      vertical-align: bottom; }
    .plain small { display: block; font-size: .74rem; }
    .bar { width: 9rem; padding-left: .8rem !important; }
    .bar i { display: block; height: .55rem; border-radius: 3px; background: var(--size); width: calc(var(--l) * 100%);
      min-width: 2px; }
    .plain .n + :not(.n) { padding-left: 1.1rem; }
    .rows .plain .n { padding-right: .5rem; padding-left: .7rem; }
    .plain .filled { border-radius: 3px;
      background: color-mix(in oklab, var(--size) calc(var(--l) * 42%), transparent); }
    .rows figcaption span { display: block; }
    .sortable thead th[role=button] { cursor: pointer; }
    .sortable thead th[role=button]:hover, .sortable thead th[aria-sort] { color: var(--ink); }
    th[aria-sort=ascending]::after { content: " ↑"; } th[aria-sort=descending]::after { content: " ↓"; }
    details { border-top: 1px solid var(--line); padding: .45rem 0; }
    details:last-of-type { border-bottom: 1px solid var(--line); }
    summary { cursor: pointer; }
    details[open] > .scroll { margin: .5rem 0 .8rem; }
    ul { margin: 0; padding-left: 1.2rem; } li { overflow-wrap: anywhere; }
    footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .82rem; max-width: 60rem; }
    @media (max-width: 640px) {
      body { padding: 1.5rem 1rem 2rem; } h1 { font-size: 1.35rem; }
      .map th span { max-width: 7.6rem; } .map td { min-width: 3.9rem; padding: 0 .2rem; }
      .map thead th + th span { max-width: 4.4rem; } .plain th:empty, .plain .bar { display: none; } }
    @media print { details { break-inside: avoid; } .scroll { overflow: visible; } body { max-width: none; } }

    """

  /// Tables sort by the column whose head is chosen.
  static let script = """
    for (const table of document.querySelectorAll("table.sortable")) {
      const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
      const key = (row, i) => { const c = row.cells[i]; return c ? c.dataset.v ?? c.textContent : ""; };
      heads.forEach((head, i) => {
        if (!head.textContent) return;
        const sort = () => {
          const down = head.getAttribute("aria-sort") !== "descending";
          heads.forEach(h => h.removeAttribute("aria-sort"));
          head.setAttribute("aria-sort", down ? "descending" : "ascending");
          const rows = [...body.rows].sort((a, b) => {
            const x = key(a, i), y = key(b, i), n = x - y;
            return isNaN(n) ? x.localeCompare(y) : n;
          });
          body.append(...(down ? rows.reverse() : rows));
        };
        head.tabIndex = 0; head.setAttribute("role", "button");
        head.addEventListener("click", sort);
        head.addEventListener("keydown", e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); sort(); } });
      });
    }

    """
}
