"""Draws six panels of the queue board as an SVG from a Prometheus' data: board.py http://127.0.0.1:9090 420 >image.svg

Titles, queries and legends are those of dashboards/queue.json, so that the picture shows what Grafana would.
"""

import json
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request
from xml.sax.saxutils import escape

TITLES = (
    "Jobs in, attempts begun and ended",
    "Depth by state",
    "Wait before an attempt",
    "Time of an attempt",
    "Decisions by source",
    "Requests by operation",
)
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d")
STEP, WIDTH, HEIGHT, LEGEND = 5, 400, 170, 34


def series(server: str, seconds: int, target: dict) -> list[tuple[str, list[tuple[float, float]]]]:
    end = time.time()
    query = target["expr"].replace("$__rate_interval", "30s").replace("$queue", ".*")
    asked = urllib.parse.urlencode({"query": query, "start": end - seconds, "end": end, "step": STEP})
    with urllib.request.urlopen(f"{server}/api/v1/query_range?{asked}") as answer:
        results = json.load(answer)["data"]["result"]
    found = []
    for result in results:
        legend = re.sub(r"{{\s*(\w+)\s*}}", lambda m: result["metric"].get(m[1], ""), target.get("legendFormat", ""))
        points = [(float(at), float(value)) for at, value in result["values"] if value != "NaN"]
        found.append((legend or "value", [(at - end + seconds, value) for at, value in points]))
    return [(legend, points) for legend, points in found if any(value > 0 for _, value in points)]


def text(x: float, y: float, size: int, fill: str, words: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{fill}">{escape(words)}</text>'


def draw(x: int, y: int, title: str, unit: str, seconds: int, lines: list) -> list[str]:
    top = max((value for _, points in lines for _, value in points), default=1)
    left, right, floor, ceiling = x + 44, x + WIDTH - 12, y + HEIGHT - LEGEND - 8, y + 34
    out = [f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="3" fill="#181b1f" stroke="#2c3036"/>']
    out.append(text(x + 10, y + 20, 13, "#d8d9da", title))
    for part in (0, 0.5, 1):
        level = floor - part * (floor - ceiling)
        out.append(f'<path d="M{left} {level:.1f}H{right}" stroke="#2c3036"/>')
        out.append(text(x + 8, level + 4, 10, "#8e9297", f"{top * part:.3g}{unit}"))
    at = x + 10
    # The largest first; the smallest of many have no room in the legend.
    lines = sorted(lines, key=lambda line: -sum(value for _, value in line[1]))[: len(COLOURS)]
    for colour, (legend, points) in zip(COLOURS, lines):
        path = "".join(
            f"{'M' if not number else 'L'}{left + (right - left) * t / seconds:.1f} {floor - (floor - ceiling) * v / top:.1f}"
            for number, (t, v) in enumerate(points)
        )
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
        if at + 14 + 5.6 * len(legend) < x + WIDTH - 8:
            out.append(f'<rect x="{at:.0f}" y="{y + HEIGHT - 18}" width="10" height="3" fill="{colour}"/>')
            out.append(text(at + 14, y + HEIGHT - 13, 10, "#c7c9cc", legend))
            at += 26 + 5.6 * len(legend)
    return out


def main() -> None:
    server, seconds = sys.argv[1], int(sys.argv[2])
    board = json.loads(pathlib.Path(__file__).parents[2].joinpath("dashboards/queue.json").read_text())
    panels = {panel["title"]: panel for panel in board["panels"]}
    body = []
    for number, title in enumerate(TITLES):
        panel = panels[title]
        lines = [line for target in panel["targets"] for line in series(server, seconds, target)]
        unit = {"s": " s", "reqps": "/s", "ops": "/s"}.get(panel["fieldConfig"]["defaults"].get("unit", ""), "")
        body += draw(8 + number % 3 * (WIDTH + 8), 8 + number // 3 * (HEIGHT + 8), title, unit, seconds, lines)
    width, height = 3 * (WIDTH + 8) + 8, 2 * (HEIGHT + 8) + 8
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">')
    print(f"<title>{escape(board['title'])}</title>")
    print(f'<rect width="{width}" height="{height}" fill="#111217"/>')
    print('<g font-family="Inter,Helvetica,Arial,\'DejaVu Sans\',sans-serif">')
    print("\n".join(body))
    print("</g>\n</svg>")


main()
