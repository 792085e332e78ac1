"""Drawings of a report as inline SVG: no scripts, no fonts, nothing from elsewhere. Texts are escaped by the caller's
`text`; all else is numbers of ours."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from agent.report.evidence import FramePoint, Histogram

WIDTH = 860
LEFT, RIGHT = 60, 24
REFERENCE_WHITE_NITS = 203.0

SOURCE_COLOR, OUTPUT_COLOR = "#5b6b7b", "#c8501e"


def interval_chart(mean: float, low: float | None, high: float | None, noise: float, unit: str) -> str:
    """The gain with its 95 % interval on a line around 0; the band is the test-retest noise."""
    ends = [0.0, -noise, noise, mean, *(value for value in (low, high) if value is not None)]
    axis = _Axis(*_widened(min(ends), max(ends)), LEFT, WIDTH - RIGHT)
    parts = [_box(axis.at(-noise), 14, axis.at(noise), 62, "#dde3ea"), _line(axis.at(0), 8, axis.at(0), 68, "#222")]
    parts += [_text(axis.at(0), 84, "0: doing nothing", "middle")]
    color = OUTPUT_COLOR if (low if low is not None else mean) <= 0 else "#1c7c3c"
    if low is not None and high is not None:
        parts.append(_line(axis.at(low), 38, axis.at(high), 38, color, 4))
        parts += [_line(axis.at(end), 28, axis.at(end), 48, color, 3) for end in (low, high)]
    parts.append(f'<circle cx="{axis.at(mean):.1f}" cy="38" r="7" fill="{color}"/>')
    parts += [_text(axis.at(tick), 100, f"{tick:g}", "middle", "#667") for tick in axis.ticks()]
    parts.append(_text(WIDTH - RIGHT, 12, unit, "end", "#667"))
    return _svg(110, "Gain with its 95 % interval", parts)


def gain_over_time(points: Sequence[FramePoint], marked: Iterable[int]) -> str:
    """Mean log2 gain of each judged frame over time, a line a window; marked frames have a vertical line."""
    if not points:
        return ""
    gains = [point.gain_stops for point in points]
    times = [point.time_s for point in points]
    x = _Axis(min(times), max(max(times), min(times) + 1e-3), LEFT, WIDTH - RIGHT)
    y = _Axis(*_widened(min(*gains, 0.0), max(*gains, 0.0)), 170, 22)
    parts = [_line(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick), "#dde3ea") for tick in y.ticks()]
    parts += [_text(LEFT - 8, y.at(tick) + 4, f"{tick:g}", "end", "#667") for tick in y.ticks()]
    parts += [_text(x.at(tick), 190, f"{tick:g} s", "middle", "#667") for tick in x.ticks()]
    parts.append(_line(LEFT, y.at(0), WIDTH - RIGHT, y.at(0), "#222"))
    frames = set(marked)
    parts += [
        _line(x.at(point.time_s), 22, x.at(point.time_s), 170, "#c11", 1)
        for point in points
        if point.number in frames
    ]
    for _, group in groupby(sorted(points, key=_place), key=lambda point: (point.shot, point.window)):
        parts.append(_polyline([(x.at(point.time_s), y.at(point.gain_stops)) for point in group], OUTPUT_COLOR))
    parts.append(_text(WIDTH - RIGHT, 12, "stops over the source, frame mean", "end", "#667"))
    return _svg(200, "Gain over time", parts)


def histogram_chart(histogram: Histogram) -> str:
    """Shares of pixels by luminance on a logarithmic axis: the source as shown at 203 nits, and the output."""
    edges = [math.log10(edge) for edge in histogram.edges_nits]
    x = _Axis(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    top = max(*histogram.source_percent, *histogram.output_percent, 1e-6)
    y = _Axis(0.0, top * 1.05, 190, 14)
    parts = [_line(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick), "#dde3ea") for tick in y.ticks()]
    parts += [_text(LEFT - 8, y.at(tick) + 4, f"{tick:g} %", "end", "#667") for tick in y.ticks()]
    decades = range(math.ceil(edges[0] - 1e-9), math.floor(edges[-1] + 1e-9) + 1)
    parts += [_text(x.at(decade), 210, f"{10.0**decade:g}", "middle", "#667") for decade in decades]
    white = x.at(math.log10(REFERENCE_WHITE_NITS))
    parts += [_line(white, 14, white, 190, "#222", 1), _text(white + 5, 24, "203: SDR white", "start")]
    for shares, color, fill in (
        (histogram.source_percent, SOURCE_COLOR, 0.25),
        (histogram.output_percent, OUTPUT_COLOR, 0.15),
    ):
        parts.append(_polyline(_steps(shares, edges, x, y), color, fill))
    parts.append(_text(WIDTH - RIGHT, 228, "nits, logarithmic", "end", "#667"))
    return _svg(236, "Luminance of source and output", parts)


class _Axis:
    """Numbers to places: `low` at `start`, `high` at `end` (start > end for an axis that points up)."""

    def __init__(self, low: float, high: float, start: float, end: float):
        self.low, self.high, self.start, self.end = low, high, start, end

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About five round numbers inside."""
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (factor * step) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [round((first + i) * step, 10) for i in range(count)]


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range with some air, never empty."""
    margin = max((high - low) * 0.1, 0.05)
    return low - margin, high + margin


def _place(point: FramePoint) -> tuple[int, int, int]:
    return point.shot, point.window, point.number


def _steps(shares: Sequence[float], edges: Sequence[float], x: _Axis, y: _Axis) -> list[tuple[float, float]]:
    places = [(x.at(edges[0]), y.at(0))]
    for index, share in enumerate(shares):
        places += [(x.at(edges[index]), y.at(share)), (x.at(edges[index + 1]), y.at(share))]
    return [*places, (x.at(edges[-1]), y.at(0))]


def _svg(height: int, title: str, parts: Iterable[str]) -> str:
    inner = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{html.escape(title)}</title>{inner}</svg>'


def _line(x0: float, y0: float, x1: float, y1: float, color: str, width: float = 1) -> str:
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{color}" stroke-width="{width:g}"/>'
    )


def _box(x0: float, y0: float, x1: float, y1: float, color: str) -> str:
    return f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="{color}"/>'


def _polyline(places: Sequence[tuple[float, float]], color: str, fill_opacity: float = 0.0) -> str:
    """A line through the places; a single one is drawn as a dot."""
    if len(places) == 1:
        return f'<circle cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="2.5" fill="{color}"/>'
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
    fill = f'fill="{color}" fill-opacity="{fill_opacity:g}"' if fill_opacity else 'fill="none"'
    return f'<polyline points="{points}" stroke="{color}" stroke-width="1.6" {fill}/>'


def _text(x: float, y: float, words: str, anchor: str, color: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{html.escape(words)}</text>'
