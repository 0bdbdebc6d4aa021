"""Draws what a command printed as an SVG, so that the README shows real output: terminal.py 'cargo dev up' <log >image.svg"""

import sys
from xml.sax.saxutils import escape

SIZE, LEADING, WIDTH = 11, 15, 6.62  # Points of a character in a common monospace font.
COLOURS = {"?": "#e5c07b", "✗": "#e06c75", "succeeded": "#98c379", "$": "#61afef"}


def colour(line: str) -> str:
    if line.startswith("$ "):
        return COLOURS["$"]
    if "succeeded" in line:
        return COLOURS["succeeded"]
    return COLOURS["?"] if line.rstrip().endswith(("proposed", "approval.")) else "#d7dae0"


def main() -> None:
    lines = [f"$ {sys.argv[1]}"] + [line.rstrip() for line in sys.stdin]
    width = max(len(line) for line in lines) * WIDTH + 32
    height = len(lines) * LEADING + 52
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">')
    print(f"<title>{escape(sys.argv[1])}</title>")
    print(f'<rect width="{width:.0f}" height="{height}" rx="8" fill="#1e2127"/>')
    for x, dot in ((18, "#ff5f56"), (36, "#ffbd2e"), (54, "#27c93f")):
        print(f'<circle cx="{x}" cy="16" r="5" fill="{dot}"/>')
    font = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    print(f'<g font-family="{font}" font-size="{SIZE}" xml:space="preserve">')
    for number, line in enumerate(lines):
        # The same length in every font, so that columns stay columns.
        length = f'textLength="{len(line) * WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"' if line else ""
        y = 46 + number * LEADING
        print(f'<text x="16" y="{y}" fill="{colour(line)}" {length} style="white-space:pre">{escape(line)}</text>')
    print("</g>\n</svg>")


main()
