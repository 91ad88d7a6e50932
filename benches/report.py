"""What a measurement comes to: a table in Markdown and a picture, both made from the data."""

import json
import math
import statistics
import sys
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

OURS, NGINX, DIRECT = "ccproxy", "nginx", "direct"
TABLE, PICTURE, DATA = "results.md", "results.svg", "results.json"
HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
# Where the table stands in the README.
BEGIN, END = "<!-- by scripts/bench --publish -->", "<!-- end of what scripts/bench wrote -->"


def get(run, path):
    for part in path:
        run = run.get(part) if run else None
    return run


def values(runs, target, path):
    found = [get(run, path) for run in runs.get(target, [])]
    return [value for value in found if value is not None]


def median(runs, target, *path):
    found = values(runs, target, path)
    return statistics.median(found) if found else None


def median_of_pairs(runs, target, other, path, of):
    """The median of what `of` makes of a target's value and another's of the same turn."""
    pairs = zip(values(runs, target, path), values(runs, other, path))
    found = [of(mine, others) for mine, others in pairs if others]
    return statistics.median(found) if found else None


# --- Numbers for people --------------------------------------------------------------------------------------


def time_of(microseconds):
    if microseconds is None:
        return "–"
    if microseconds < 10:
        return f"{microseconds:.1f} µs"
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    milliseconds = microseconds / 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"


def times_of(quantiles):
    return " / ".join(time_of(one) for one in quantiles) if None not in quantiles else "–"


def number_of(value):
    return "–" if value is None else f"{value:,.0f}"


def kib_of(value):
    return "–" if value is None else f"{value / 1024:,.1f} KiB"


def mib_of(value):
    return "–" if value is None else f"{value / 2**20:,.1f} MiB"


def ratio_of(value):
    return "–" if value is None else f"{value:.2f} ×"


# --- The table -----------------------------------------------------------------------------------------------


def timed(runs, target, *path):
    """A time, and how much of it the way has added to the provider's own."""
    whole = time_of(median(runs, target, *path))
    added = median_of_pairs(runs, target, DIRECT, path, lambda mine, direct: mine - direct)
    return whole if target == DIRECT or added is None else f"{whole} (+{time_of(max(added, 0))})"


def row(name, runs, show, *path, ratio=True):
    cells = [show(target) for target in (OURS, NGINX, DIRECT)]
    share = median_of_pairs(runs, OURS, NGINX, path, lambda ours, nginx: ours / nginx) if ratio else None
    return [name, *cells, ratio_of(share)]


QUANTILES = ("p50", "p99", "p99.9")


def rows(results):
    of = results["scenarios"]
    for scenario, name in (("small", "a small message"), ("agent", "150 KiB"), ("tools", "1 MiB, 200 tools")):
        runs, path = of[scenario], ("total_us", "p50")
        yield row(f"{name}, one at a time, p50", runs, lambda t: timed(runs, t, *path), *path)
    for scenario, name in (("at_16", "16"), ("at_64", "64")):
        runs, path = of[scenario], ("messages_per_s",)
        yield row(f"messages a second, {name} at once", runs, lambda t: number_of(median(runs, t, *path)), *path)
    runs, path = of["at_16"], ("cpu_us_per_message",)
    yield row("CPU of the proxy for a message", runs, lambda t: time_of(median(runs, t, *path)), *path)
    runs, path = of["flat_out"], ("pieces_per_s",)
    yield row("tokens a second, 16 streams flat out", runs, lambda t: number_of(median(runs, t, *path)), *path)
    yield row("… CPU of the proxy for a token", runs,
              lambda t: time_of(median(runs, t, "cpu_us_per_piece")), "cpu_us_per_piece")
    for streams in ("256", "1000"):
        runs = of[f"slow_{streams}"]
        for key, name in (("first_us", "to the first token"), ("between_us", "between two tokens")):
            yield row(f"{number_of(int(streams))} streams: added {name}, p50 / p99 / p99.9", runs,
                      lambda t: times_of([median(runs, t, key, q) for q in QUANTILES]), key, "p99")
        yield row("… health meanwhile, p50 / p99", runs,
                  lambda t: times_of([median(runs, t, "health", "total_us", q) for q in QUANTILES[:2]]),
                  "health", "total_us", "p99")
        yield row("… CPU of the proxy for a token", runs,
                  lambda t: time_of(median(runs, t, "cpu_us_per_piece")), "cpu_us_per_piece")
        yield row("… memory for a stream", runs,
                  lambda t: kib_of(median(runs, t, "memory_per_stream") or None), "memory_per_stream")
        yield row("… threads", runs, lambda t: number_of(median(runs, t, "threads") or None), "threads", ratio=False)
    runs = of["start"]
    yield row("start, to the first 200", runs, lambda t: time_of(median(runs, t, "start_us")), "start_us")
    yield row("memory when idle", runs, lambda t: mib_of(median(runs, t, "idle_memory")), "idle_memory")
    size = f"{results['program']['bytes'] / 1e6:.2f} MB"
    yield ["the program, one static file", size, "–", "–", "–"]


def table(results):
    lines = [["", OURS, NGINX, DIRECT, "to nginx"], ["---", "---:", "---:", "---:", "---:"], *rows(results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def caption(results):
    machine = results["machine"]
    others = max(run.get("others", 0) for runs in results["scenarios"].values() for many in runs.values()
                 for run in many)
    return (f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, {results['date']}, "
            f"{results['program']['version']}, {results['nginx'].replace('nginx version: ', '')}; "
            f"others used up to {others:.2f} cores meanwhile.")


def line(runs):
    """A scenario in one line, for whoever waits."""
    said = []
    for target, many in runs.items():
        parts = [("p50", time_of, ("total_us", "p50")), ("tokens/s", number_of, ("pieces_per_s",)),
                 ("messages/s", number_of, ("messages_per_s",)), ("start", time_of, ("start_us",))]
        shown = [f"{name} {show(median(runs, target, *path))}" for name, show, path in parts
                 if median(runs, target, *path)]
        shown.append(f"others {max(run.get('others', 0) for run in many):.2f}")
        said.append(f"{target} {', '.join(shown)}")
    return "; ".join(said)


# --- The picture ---------------------------------------------------------------------------------------------

WIDTH, LEFT, RIGHT, TOP, ROW, STEP = 880, 290, 30, 96, 66, 16
SPANS = [
    ("a small message, one at a time", "small", ("total_us",)),
    ("150 KiB, one at a time", "agent", ("total_us",)),
    ("1 MiB with 200 tools, one at a time", "tools", ("total_us",)),
    ("added to the first token, 1,000 streams", "slow_1000", ("first_us",)),
    ("added between two tokens", "slow_1000", ("between_us",)),
    ("a health check beside them", "slow_1000", ("health", "total_us")),
]
LIGHT = {"paper": "#ffffff", "ink": "#1f2328", "faint": "#59636e", "grid": "#d8dee4",
         OURS: "#0969da", NGINX: "#1a7f37", DIRECT: "#8c959f"}
DARK = {"paper": "#0d1117", "ink": "#e6edf3", "faint": "#9198a1", "grid": "#30363d",
        OURS: "#58a6ff", NGINX: "#3fb950", DIRECT: "#848d97"}


def colours(of):
    """Without variables, which not everything knows that shows pictures."""
    filled = [f"text {{ fill: {of['ink']}; }}", *(f".{name} {{ fill: {of[name]}; }}" for name in ("paper", "faint")),
              f".grid {{ stroke: {of['grid']}; }}"]
    drawn = [f".{name} {{ fill: {of[name]}; stroke: {of[name]}; }}" for name in (OURS, NGINX, DIRECT)]
    return " ".join(filled + drawn)


STYLE = f"""
text {{ font: 13px ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; }}
.small {{ font-size: 11px; }} .title {{ font-size: 16px; font-weight: 600; }}
.span {{ stroke-width: 4; stroke-linecap: round; }} .tail {{ stroke-width: 1.5; }}
{colours(LIGHT)}
@media (prefers-color-scheme: dark) {{ {colours(DARK)} }}
"""


def picture(results):
    """How long things take, at the median and at worst, each on a logarithmic scale."""
    of = results["scenarios"]
    found = [(name, {target: [median(of[scenario], target, *path, q) for q in QUANTILES]
                     for target in (DIRECT, NGINX, OURS) if median(of[scenario], target, *path, "p50") is not None})
             for name, scenario, path in SPANS]
    every = [max(value, 1) for _, spans in found for quantiles in spans.values() for value in quantiles]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))

    def x(microseconds):
        share = (math.log10(max(microseconds, 1)) - low) / (high - low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    bottom = TOP + ROW * len(found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 52}" role="img">',
        f"<title>Times of ccproxy beside nginx and beside the provider alone, {results['date']}</title>",
        f"<style>{STYLE}</style>",
        '<rect class="paper" width="100%" height="100%" rx="8"/>',
        '<text class="title" x="20" y="32">How long it takes</text>',
        '<text class="faint" x="20" y="54">dot: median · thick line: to the 99th percentile · thin: to the 99.9th'
        "</text>",
    ]
    for number, target in enumerate((OURS, NGINX, DIRECT)):
        at = LEFT + 380 + number * 72
        parts.append(f'<circle class="{target}" cx="{at}" cy="28" r="5"/>'
                     f'<text x="{at + 10}" y="32">{target}</text>')
    for power in range(low, high + 1):
        at = x(10**power)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP - 14}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="faint small" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">'
                     f"{'up to ' if power == low else ''}{round_time(10**power)}</text>")
    for number, (name, spans) in enumerate(found):
        y = TOP + ROW * number
        parts.append(f'<text x="20" y="{y + STEP + 5}">{escape(name)}</text>')
        for place, (target, (p50, p99, p999)) in enumerate(reversed(spans.items())):
            at = y + STEP * place
            parts.append(
                f'<g class="{target}"><line class="tail" x1="{x(p99):.1f}" y1="{at}" x2="{x(p999):.1f}" y2="{at}"/>'
                f'<line class="span" x1="{x(p50):.1f}" y1="{at}" x2="{x(p99):.1f}" y2="{at}"/>'
                f'<circle cx="{x(p50):.1f}" cy="{at}" r="5"/></g>')
    parts.append(f'<text class="faint small" x="20" y="{bottom + 38}">{escape(caption(results))}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def round_time(microseconds):
    for unit, size in (("s", 10**6), ("ms", 10**3)):
        if microseconds >= size:
            return f"{microseconds // size} {unit}"
    return f"{microseconds} µs"


def write(results, folder):
    (folder / TABLE).write_text(f"{table(results)}\n\n{caption(results)}\n")
    shown = picture(results)
    # Whatever shows it wants it well formed.
    ElementTree.fromstring(shown)
    (folder / PICTURE).write_text(shown)


def published(readme, results):
    """The README with this picture and this table in their place."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    shown = f"![How long it takes]({HERE.name}/{PICTURE})\n\n{table(results)}\n\n{caption(results)}\n"
    return f"{before}{BEGIN}\n{shown}{END}{after}"


def publish(results):
    """Puts a measurement into the tree: data and picture beside this file, the table into the README."""
    (HERE / DATA).write_text(json.dumps(results, indent=1) + "\n")
    (HERE / PICTURE).write_text(picture(results))
    README.write_text(published(README.read_text(), results))


def stale():
    """Which of what is shown in the tree is not made of the data that stands beside it."""
    results = json.loads((HERE / DATA).read_text())
    wanted = {HERE / PICTURE: picture(results), README: published(README.read_text(), results)}
    return [path.name for path, text in wanted.items() if path.read_text() != text]


if __name__ == "__main__":
    publish(json.loads(Path(sys.argv[1]).read_text()))
