"""Makes the README's picture: a session of the interactive Claude Code through ccproxy, as it stood on
the screen.

    python3 tests/clients/picture.py

writes .readme/session.svg. What is shown is what the run showed: it asks echo for a tool's output.
"""

import html
import re
import sys

from harness import ROOT, Proxy
from screen import Terminal, printed_line

PICTURE = ROOT / ".readme" / "session.svg"
COLUMNS, ROWS = 104, 32
# Of one character, in the picture's units, as monospaced fonts have it at 14.
ADVANCE, LEADING, SIZE, MARGIN = 8.43, 19, 14, 18
BACKGROUND, FOREGROUND = "#16181d", "#d8dade"
# The terminal's own sixteen, of a palette that reads on the background.
PALETTE = (
    "#3b3f48 #e06c75 #98c379 #e5c07b #61afef #c678dd #56b6c2 #d8dade "
    "#7d828c #f08a92 #b5e08f #f4d58d #82c4ff #d89cec #7fd0da #ffffff"
).split()
SGR = re.compile(r"\x1b\[([\d;:]*)m")
OTHER = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][\w]|\x1b\[[^m]*[A-Za-ln-z]")


def session():
    """What is on the screen, with its colours, after a prompt that calls a tool."""
    with Proxy("--provider", "echo") as proxy, Terminal() as terminal:
        terminal.settle()
        line = printed_line(proxy)
        terminal.start(line)
        terminal.resize(COLUMNS, ROWS)
        terminal.say("Hello there")
        terminal.wait("For a real model")
        terminal.say('[[think:Does it work?]] [[tool:Bash {"command": "echo it works"}]]')
        terminal.wait("The tool said:")
        terminal.idle()
        shown = terminal.screen(colours=True)
        # The port and the directory are others in each run.
        shown = shown.replace(str(terminal.directory), "~/project")
        return "$ " + re.sub(r"[\w.]+:\d+", "localhost:3456", line), shown


def colour(codes):
    """The colour that follows 38 or 48, and how many codes say so."""
    if codes[:1] == [2] and len(codes) >= 4:
        return "#{:02x}{:02x}{:02x}".format(*codes[1:4]), 4
    if codes[:1] == [5] and len(codes) >= 2:
        number = codes[1]
        if number < 16:
            return PALETTE[number], 2
        if number >= 232:
            return "#" + f"{8 + 10 * (number - 232):02x}" * 3, 2
        levels = (0, 95, 135, 175, 215, 255)
        number -= 16
        parts = (levels[number // 36], levels[number // 6 % 6], levels[number % 6])
        return "#{:02x}{:02x}{:02x}".format(*parts), 2
    return None, len(codes)


def apply(style, codes):
    """The style after a sequence of SGR codes."""
    style = dict(style)
    while codes:
        code, codes = codes[0], codes[1:]
        if code == 0:
            style = {}
        elif code in (1, 2, 3, 7):
            style[{1: "bold", 2: "dim", 3: "italic", 7: "reverse"}[code]] = True
        elif code in (22, 23, 27):
            for name in {22: ("bold", "dim"), 23: ("italic",), 27: ("reverse",)}[code]:
                style.pop(name, None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style["fill"] = PALETTE[code - 30 if code < 90 else code - 82]
        elif code in (38, 48):
            found, used = colour(codes)
            codes = codes[used:]
            style["fill" if code == 38 else "behind"] = found
        elif code in (39, 49):
            style.pop("fill" if code == 39 else "behind", None)
        elif 40 <= code <= 47:
            style["behind"] = PALETTE[code - 40]
    return style


def runs(line):
    """The pieces of a line, with the column where each begins and its style."""
    style, column, at = {}, 0, 0
    line = OTHER.sub("", line)
    for mark in [*SGR.finditer(line), None]:
        text = line[at : mark.start() if mark else len(line)]
        if text:
            yield column, text, style
            column += len(text)
        if mark:
            style = apply(style, [int(n or 0) for n in re.split("[;:]", mark[1])])
            at = mark.end()


def draw(lines):
    width, height = 2 * MARGIN + COLUMNS * ADVANCE, 2 * MARGIN + len(lines) * LEADING
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
        f'font-size="{SIZE}" fill="{FOREGROUND}">'
    )
    yield "<title>Claude Code, answered through ccproxy by the provider echo</title>"
    yield f'<rect width="100%" height="100%" rx="10" fill="{BACKGROUND}"/>'
    for number, line in enumerate(lines):
        y = MARGIN + number * LEADING
        for column, text, style in runs(line):
            x, length = MARGIN + column * ADVANCE, len(text) * ADVANCE
            fill, behind = style.get("fill"), style.get("behind")
            if style.get("reverse"):
                fill, behind = behind or BACKGROUND, fill or FOREGROUND
            if behind:
                yield (
                    f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{LEADING}" fill="{behind}"/>'
                )
            if not text.strip():
                continue
            attributes = f' fill="{fill}"' if fill else ""
            attributes += ' font-weight="bold"' if style.get("bold") else ""
            attributes += ' font-style="italic"' if style.get("italic") else ""
            attributes += ' opacity="0.65"' if style.get("dim") else ""
            yield (
                f'<text x="{x:.1f}" y="{y + SIZE}" textLength="{length:.1f}" xml:space="preserve"'
                f"{attributes}>{html.escape(text, quote=False)}</text>"
            )
    yield "</svg>"


def main():
    typed, shown = session()
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text("\n".join(draw([typed, "", *shown.splitlines()])) + "\n")
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    sys.exit(main())
