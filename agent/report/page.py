"""The report as one HTML page that needs nothing else: no scripts, no network, every foreign text escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from agent.cli.render import printable
from agent.report.charts import OUTPUT_COLOR, SOURCE_COLOR, gain_over_time, histogram_chart, interval_chart
from agent.report.evidence import KEY_FRAME, Evidence, ShownFrame
from agent.report.record import FileIdentity, ReportFacts, summarise, versions
from analysis.schema import GateResult, Verdict
from analysis.vqa.registry import MEASURES, METRICS

_STATE_ORDER = {"failed": 0, "not_measured": 1, "passed": 2}

MEANING = {
    "accept": "Every gate holds and the measured gain is above zero with its whole interval. Exit code 0.",
    "accept_no_gain": "Nothing is damaged, and no gain over the SDR picture at 203 nits was measured. Exit code 4.",
    "reject": "A gate failed, or the measured gain is below zero. No gain buys back a failed gate. Exit code 4.",
    "uncertain": "A gate could not be measured, or the gain's interval includes zero. Exit code 4.",
}

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header class="$outcome"><h1>$headline</h1><p class="reason">$reason</p><p>$meaning</p></header>
<main>$sections</main>
<footer>$footer</footer>
</body>
</html>
""")

_STYLE = """
:root{color-scheme:light}
body{font:15px/1.45 system-ui,sans-serif;color:#1c232b;background:#f4f6f8;margin:0 auto;max-width:1040px;padding:16px}
header,section{background:#fff;border:1px solid #d8dee5;border-radius:8px;padding:14px 20px;margin-bottom:14px}
header{border-left:10px solid #888}
header.accept{border-left-color:#1c7c3c}header.reject{border-left-color:#b3171b}
header.uncertain,header.accept_no_gain{border-left-color:#c58a00}
h1{font-size:24px;margin:0 0 6px}h2{font-size:17px;margin:0 0 8px}h3{font-size:14px;margin:14px 0 4px}
p{margin:4px 0}.reason{font-size:16px}
.note,footer{color:#56616d;font-size:13px}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:3px 10px 3px 0;border-bottom:1px solid #e6eaee;vertical-align:top}
td.n,tbody th[scope="row"]{white-space:nowrap}
td.n{text-align:right;font-variant-numeric:tabular-nums}
td.wide,code{overflow-wrap:anywhere}
code{font:13px ui-monospace,monospace}
.failed{color:#b3171b;font-weight:600}.passed{color:#1c7c3c}.not_measured{color:#8a6100;font-weight:600}
.row{display:flex;gap:8px;align-items:flex-start}
figure{margin:0;flex:1 1 0;min-width:0;text-align:center}
figure img{max-width:100%;max-height:420px}
figcaption{font-size:12px;color:#56616d}
svg{width:100%;height:auto;font:12px system-ui,sans-serif}
.key{display:inline-block;width:12px;height:12px;margin:0 4px 0 12px;vertical-align:-1px}
.scale{height:10px;border-radius:3px;max-width:300px;
background:linear-gradient(to right,#213caa,#6e96e6,#f0f0f0,#f59646,#aa1414)}
@media print{body{background:#fff;max-width:none}section,header{break-inside:avoid}}
"""


def render_page(verdict: Verdict, facts: ReportFacts, evidence: Evidence, folder: Path) -> str:
    """The page as text. `folder` holds the evidence's pictures."""
    sections = [
        _gain_section(verdict, facts),
        _gates_section(verdict.gates),
        _frames_section(evidence, folder),
        _light_section(verdict, evidence),
        _metrics_section(verdict.metrics),
        _files_section(verdict, facts),
    ]
    name = printable(Path(facts.output.path).name)
    return _PAGE.substitute(
        title=text(f"{summarise(verdict).split(':')[0]}: {name}"),
        style=_STYLE,
        outcome=text(verdict.outcome),
        headline=text(summarise(verdict)),
        reason=text(f"{verdict.reason}."),
        meaning=text(MEANING[verdict.outcome]),
        sections="".join(sections),
        footer=(
            "&ldquo;Better&rdquo; is a measurement against the source and no prediction of what viewers prefer: no "
            "viewing test stands behind it. Frames are judged in sampled windows, at working size."
        ),
    )


def text(value: object) -> str:
    """Anything as text of a page: markup is escaped, control and direction characters are made visible."""
    return html.escape(printable(value), quote=True)


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{text(title)}</h2>{''.join(parts)}</section>"


def _gain_section(verdict: Verdict, facts: ReportFacts) -> str:
    interval = (
        f"95 % interval {verdict.gain_low:+.2f} to {verdict.gain_high:+.2f}"
        if verdict.gain_low is not None and verdict.gain_high is not None
        else "no interval: too few frames to form one"
    )
    words = f"{verdict.gain:+.2f} {facts.gain_unit}, {interval}; a gain up to {facts.gain_noise:g} is none."
    chart = interval_chart(verdict.gain, verdict.gain_low, verdict.gain_high, facts.gain_noise, facts.gain_unit)
    note = '<p class="note">Grey band: test-retest noise. Bar: the interval, by resampling shots.</p>'
    return _section("Gain over doing nothing", f"<p>{text(words)}</p>", chart, note)


def _gates_section(gates: Iterable[GateResult]) -> str:
    ordered = sorted(gates, key=lambda gate: _STATE_ORDER[gate.state])
    counts = [sum(gate.state == state for gate in ordered) for state in _STATE_ORDER]
    words = f"{counts[0]} failed, {counts[1]} not measured, {counts[2]} passed."
    known = {spec.name: spec.description for spec in MEASURES}
    head = "".join(f'<th scope="col">{name}</th>' for name in ("gate", "", "value", "limit", "what, why and where"))
    rows = "".join(_gate_row(gate, known.get(gate.gate, "")) for gate in ordered)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return _section("Gates", f"<p>{text(words)}</p>", table)


def _gate_row(gate: GateResult, meaning: str) -> str:
    value = "" if gate.value is None else text(f"{gate.value:.3g}")
    side = "at least" if gate.direction == "higher" else "at most"
    limit = "" if gate.limit is None else text(f"{side} {gate.limit:.4g}")
    frames = f"; frames {', '.join(map(str, gate.frames))}" if gate.frames and gate.value else ""
    cells = (
        f'<th scope="row">{text(gate.gate)}</th>',
        f'<td class="{text(gate.state)}">{text(gate.state.replace("_", " "))}</td>',
        f'<td class="n">{value}</td><td>{limit} {text(gate.unit)}</td>',
        f'<td class="wide">{text(gate.detail + frames)} <span class="note">{text(meaning)}</span></td>',
    )
    return f"<tr>{''.join(cells)}</tr>"


def _frames_section(evidence: Evidence, folder: Path) -> str:
    if not evidence.shown:
        return _section("Frames", "<p>No frame was judged.</p>")
    note = (
        f"Source and output go through one curve, BT.2390 from {evidence.shown_peak_nits:g} to 203 nits, and white "
        "of the page is 203 nits: this is how they compare, not how bright they are. SDR white turns a little grey."
    )
    scale = '<p class="note">Gain map, -3 to +3 stops against the source:</p><div class="scale"></div>'
    ordered = sorted(evidence.shown, key=lambda shown: (shown.why == KEY_FRAME, shown.number))
    frames = "".join(_frame(shown, folder) for shown in ordered)
    return _section("Frames", f'<p class="note">{text(note)}</p>', scale, frames)


def _frame(shown: ShownFrame, folder: Path) -> str:
    why = shown.why if shown.why == KEY_FRAME else f"among the worst for {shown.why}"
    title = f"Frame {shown.number}, {shown.time_s:.2f} s, shot {shown.shot}: {why}"
    spread = f"gain {shown.low_stops:+.2f} to {shown.high_stops:+.2f} stops (5 to 95 % of pixels)"
    figures = (
        _figure(folder / shown.source, "source at 203 nits", shown.number),
        _figure(folder / shown.output, "output", shown.number),
        _figure(folder / shown.gain, spread, shown.number),
    )
    return f'<h3>{text(title)}</h3><div class="row">{"".join(figures)}</div>'


def _figure(path: Path, caption: str, number: int) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    words = text(f"{caption}, frame {number}")
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{words}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _light_section(verdict: Verdict, evidence: Evidence) -> str:
    marked = [number for gate in verdict.gates if gate.state == "failed" for number in gate.frames]
    parts = [gain_over_time(evidence.points, marked)]
    parts.append('<p class="note">One line a window of judged frames. Red: worst frames of failed gates.</p>')
    if evidence.histogram is not None:
        key = "".join(
            f'<span class="key" style="background:{color}"></span>{name}'
            for color, name in ((SOURCE_COLOR, "source as shown at 203 nits"), (OUTPUT_COLOR, "output"))
        )
        parts += [f'<h3>Luminance of all judged pixels</h3><p class="note">{key}</p>']
        parts.append(histogram_chart(evidence.histogram))
    return _section("Light over time", *parts)


def _files_section(verdict: Verdict, facts: ReportFacts) -> str:
    names = FileIdentity.model_fields
    rows = {name.replace("_", " "): (getattr(facts.source, name), getattr(facts.output, name)) for name in names}
    head = '<tr><th></th><th scope="col">source</th><th scope="col">output</th></tr>'
    body = "".join(_fact_row(name, *values) for name, values in rows.items())
    asked = f"peak {facts.controls.peak_nits:g} nits, mid-tone gain {_value(facts.controls.mid_gain_ev)} EV"
    return _section(
        "Files, versions, and how to repeat it",
        f"<table>{head}{body}</table>",
        f"<h3>Judged by</h3><p>Held to: {asked}. Model: {text(verdict.model_id)}.</p>",
        f"<p>{_listed(versions())}</p>",
        f"<h3>The command</h3><p><code>{text(facts.command)}</code></p>",
    )


def _fact_row(name: str, source: object, output: object) -> str:
    cells = "".join(f'<td class="wide">{_value(value)}</td>' for value in (source, output))
    return f'<tr><th scope="row">{text(name)}</th>{cells}</tr>'


def _metrics_section(metrics: Mapping[str, float]) -> str:
    known = {spec.name: (spec.unit, spec.description) for spec in METRICS}
    rows = "".join(_metric_row(name, value, *known.get(name, ("", ""))) for name, value in metrics.items())
    return _section("Numbers that are no gate", f"<table>{rows}</table>") if rows else ""


def _metric_row(name: str, value: float, unit: str, meaning: str) -> str:
    return (
        f'<tr><th scope="row">{text(name)}</th><td class="n">{value:.4g}</td><td>{text(unit)}</td>'
        f'<td class="wide">{text(meaning)}</td></tr>'
    )


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{text(name)} {text(value)}" for name, value in values.items()) or "none"


def _value(value: object) -> str:
    return "not stated" if value is None else text(value)
