"""Measures how time grows with the bytes of a model and with the number of fine-tunes: a table, and docs/growth.svg.

use: growth.py --embedfuse PATH [--data DIR] [--rounds 5] [--quick]

The same families as families.py's; --quick leaves out the largest and takes two rounds.
"""

import shutil

from race import HERE, generate, median, options, race, size

METHODS = {"soup": ["--method", "soup"], "delta-guided": ["--method", "delta-guided"]}
FINE_TUNES = [2, 4, 8, 16]
COLORS = {"soup": "#1f6feb", "delta-guided": "#d1570c"}


def contestants(arguments, out):
    """(axis, method, where on the axis) -> (command, output)."""
    table = {}
    for method, options in METHODS.items():
        def add(axis, value, family, count):
            models = [arguments.data / family / f"ft{k}" for k in range(1, count + 1)]
            base = ["--base", arguments.data / family / "base"] if method == "delta-guided" else []
            output = out / "fused.safetensors"
            table[axis, method, value] = (
                [arguments.embedfuse, "merge", *options, *base, *models, "-o", output, "--no-sync", "--quiet"], output)

        for family in arguments.families:
            weights = (arguments.data / family / "ft1").glob("*.safetensors")
            add("bytes", sum(map(size, weights)) / 1e9, family, 3)
        for count in FINE_TUNES:
            add("K", count, "minilm-f32", count)
    return table


def line(points):
    """Least squares: what is spent anyway, what each unit takes, and how much of the variance that explains."""
    count, sum_x, sum_y = len(points), sum(x for x, *_ in points), sum(y for _, y, *_ in points)
    mean_x, mean_y = sum_x / count, sum_y / count
    slope = sum((x - mean_x) * (y - mean_y) for x, y, *_ in points) / sum((x - mean_x) ** 2 for x, *_ in points)
    start = mean_y - slope * mean_x
    rest = sum((y - start - slope * x) ** 2 for x, y, *_ in points)
    return start, slope, 1 - rest / sum((y - mean_y) ** 2 for _, y, *_ in points)


def nice_step(greatest):
    """A step of 1, 2 or 5 times a power of ten, of which up to six reach `greatest`."""
    step = 10.0 ** -3
    while True:
        for factor in (1, 2, 5):
            if greatest / (step * factor) <= 6:
                return step * factor
        step *= 10


def panel(left, title, unit, series):
    """One plot, 400 wide, with its corner at `left`: points, their spread, and the line through them."""
    x0, y0, width, height = left + 60, 50, 310, 230
    x_max = max(x for points in series.values() for x, *_ in points) * 1.05
    y_max = max(high for points in series.values() for *_, high in points) * 1.05
    at = lambda x, y: (x0 + width * x / x_max, y0 + height * (1 - y / y_max))
    parts = [f'<text x="{x0}" y="30" font-weight="bold">{title}</text>',
             f'<text x="{x0 + width}" y="{y0 + height + 36}" text-anchor="end">{unit}</text>',
             f'<text x="{x0 - 44}" y="{y0 - 6}">seconds</text>']
    for greatest, across in ((x_max, True), (y_max, False)):
        step = nice_step(greatest)
        for number in range(int(greatest / step) + 1):
            x, y = at(number * step if across else 0, 0 if across else number * step)
            end = (x, y0) if across else (x0 + width, y)
            parts.append(f'<path d="M{x:.1f} {y:.1f}L{end[0]:.1f} {end[1]:.1f}" stroke="#8884"/>')
            place = f'x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle"' if across \
                else f'x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end"'
            parts.append(f"<text {place}>{number * step:.3g}</text>")
    for name, points in series.items():
        start, slope, _ = line(points)
        first, last = at(0, max(start, 0)), at(x_max, start + slope * x_max)
        parts.append(f'<path d="M{first[0]:.1f} {first[1]:.1f}L{last[0]:.1f} {last[1]:.1f}" stroke="{COLORS[name]}"/>')
        for x, y, low, high in points:
            (cx, cy), (_, top), (_, bottom) = at(x, y), at(x, high), at(x, low)
            parts.append(f'<path d="M{cx:.1f} {top:.1f}V{bottom:.1f}" stroke="{COLORS[name]}" stroke-width="2"/>')
            parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="4" fill="{COLORS[name]}"/>')
    for number, name in enumerate(series):
        parts.append(f'<text x="{x0 + 10}" y="{y0 + 16 + 18 * number}" fill="{COLORS[name]}">{name}</text>')
    return "\n".join(parts)


def picture(panels):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {400 * len(panels)} 330" font-family="sans-serif" '
        'font-size="12" fill="#777" stroke-linecap="round">',
        "<style>text { stroke: none } path { fill: none }</style>",
        *(panel(400 * number, *contents) for number, contents in enumerate(panels)), "</svg>", ""])


def main():
    arguments = options(__doc__, rounds=5).parse_args()
    arguments.families = ["minilm-f32", "bert-f32"] + ([] if arguments.quick else ["qwen-bf16"])
    generate(arguments.data, arguments.families)
    out = arguments.data / "out"
    out.mkdir(exist_ok=True)
    runs = race(contestants(arguments, out), 2 if arguments.quick else arguments.rounds)
    shutil.rmtree(out)

    panels = []
    print("| | " + " | ".join(f"{method}, seconds" for method in METHODS) + " |\n|---|" + "--:|" * len(METHODS))
    for axis, title, unit, label in (
            ("bytes", "Three fine-tunes", "GB of one model", "three of {:.2f} GB"),
            ("K", "Models of 0.09 GB", "fine-tunes", "{} of 0.09 GB")):
        series = {method: [] for method in METHODS}
        for (found, method, value), results in runs.items():
            if found == axis:
                seconds = [run.seconds for run in results]
                series[method].append((value, median(results), min(seconds), max(seconds)))
        for row in zip(*series.values()):
            print(f"| {label.format(row[0][0])} | " + " | ".join(f"{point[1]:.3f}" for point in row) + " |")
        fits = [line(points) for points in series.values()]
        each = "GB of one model" if axis == "bytes" else "fine-tune"
        print(f"| for each {each}, beside what is spent anyway | "
              + " | ".join(f"{slope:.3f} + {start:.3f}" for start, slope, _ in fits) + " |")
        print("| share of the variance that the line explains | " + " | ".join(f"{fit:.4f}" for *_, fit in fits) + " |")
        panels.append((title, unit, series))
    (HERE.parent / "docs" / "growth.svg").write_text(picture(panels))


if __name__ == "__main__":
    main()
