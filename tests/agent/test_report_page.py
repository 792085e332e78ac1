"""The report page: whole, harmless, and saying what the verdict says."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.report.charts import gain_over_time, histogram_chart, interval_chart
from agent.report.collect import Recorder, choose_frames, save_report_evidence
from agent.report.evidence import Evidence, FramePoint, load_evidence
from agent.report.record import FileIdentity, ReportFacts
from agent.report.write import check_report_path, write_report
from analysis.schema import GateResult, Verdict
from tests.analysis.vqa.pictures import expanded, pair, scene
from toolchain.errors import UsageError
from toolchain.models.spec import Controls

HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m.mkv"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags nest, and notes what is there."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words += data


def gate(name: str, state: str, value: float | None = 1.0, frames: tuple[int, ...] = (), **more: str) -> GateResult:
    return GateResult.model_validate(
        {"gate": name, "state": state, "value": value, "limit": 2.0, "unit": "stop", "frames": frames, **more}
    )


def verdict(*gates: GateResult, outcome: str = "reject", **more: float | None) -> Verdict:
    fields = {"gain": 0.4, "gain_low": 0.1, "gain_high": 0.7, "metrics": {"mean_nits": 55.5}, **more}
    return Verdict.model_validate(
        {"model_id": "file", "outcome": outcome, "reason": "because", "gates": gates, **fields}
    )


def facts(name: str = "out.mkv") -> ReportFacts:
    identity = FileIdentity(
        path=f"/media/{name}", size_bytes=1, sha256="ab" * 32, codec="ffv1", pix_fmt="yuv420p10le", width=160,
        height=90, frame_rate="25", duration_s=1.0, hdr="pq", transfer=HOSTILE, primaries="bt2020", matrix="bt2020nc",
    )  # fmt: skip
    return ReportFacts(
        source=identity,
        output=identity,
        controls=Controls(mid_gain_ev=None),
        gain_unit="PU21 units",
        gain_noise=0.06,
        command=f"agent verify in.mkv '{name}'",
    )


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evidence of six frames in two windows, three of them shown."""
    folder = tmp_path_factory.mktemp("evidence")
    recorder = Recorder(lambda number: number / 25)
    pairs = [pair(scene(0, i), expanded(scene(0, i)), number=i, window=i // 3) for i in range(6)]
    assert list(recorder.watch(pairs)) == pairs
    shown = [(pairs[1], "hue_p95"), (pairs[2], "key frame"), (pairs[4], "key frame")]
    save_report_evidence(folder, recorder, shown, rotation_deg=90, peak_nits=1000.0)
    return folder


def written(path: Path, judged: Verdict, evidence: Path, name: str = "out.mkv") -> str:
    write_report(path, judged, facts(name), evidence, overwrite=True)
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_and_runs_nothing(evidence: Path, tmp_path: Path) -> None:
    judged = verdict(gate("hue_p95", "failed", 3.0, (1,)), gate("<b>odd</b>", "passed"))
    page = Page(written(tmp_path / "r.html", judged, evidence))
    tags = {tag for tag, _ in page.seen}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "b"}
    attributes = [(name, value) for _, attrs in page.seen for name, value in attrs.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("href", "xlink:href")]
    sources = [value or "" for name, value in attributes if name == "src"]
    assert len(sources) == 9
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    policy = next(attrs["content"] for tag, attrs in page.seen if attrs.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not re.search(r"https?://|@import|url\(", written(tmp_path / "r.html", judged, evidence))


def test_foreign_text_cannot_become_markup(evidence: Path, tmp_path: Path) -> None:
    judged = verdict(gate("g", "failed", 3.0, (1,), detail=HOSTILE), gate("h", "not_measured", None, detail="<i>x"))
    raw = written(tmp_path / "r.html", judged, evidence, name=HOSTILE)
    page = Page(raw)
    assert not {"script", "i"} & {tag for tag, _ in page.seen}
    assert "<script>alert(1)</script>" in page.words
    assert not {"\u202e", "\x1b"} & set(raw)


def test_the_page_says_what_the_verdict_says(evidence: Path, tmp_path: Path) -> None:
    judged = verdict(
        gate("exposure", "passed", 0.25),
        gate("banding", "not_measured", None, detail="libvmaf is missing"),
        gate("hue_p95", "failed", 14.5, (1, 3), direction="higher", detail="worst in shot 0"),
    )
    words = Page(written(tmp_path / "r.html", judged, evidence)).words
    for expected in (
        "Rejected: fails hue_p95", "because.", "+0.40 PU21 units, 95 % interval +0.10 to +0.70", "a gain up to 0.06",
        "1 failed, 1 not measured, 1 passed", "libvmaf is missing", "at least 2", "at most 2", "14.5",
        "worst in shot 0; frames 1, 3", "Frame 1, 0.04 s, shot 0: among the worst for hue_p95",
        "mid-tone gain not stated",
        "agent verify in.mkv", "mean_nits", "55.5", "ab" * 32,
    ):  # fmt: skip
        assert expected in words
    assert words.index("hue_p95", words.index("Gates")) < words.index("banding", words.index("Gates"))
    assert words.index("Frame 1,") < words.index("Frame 2,")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("accept", "Accepted: better than doing nothing"),
        ("accept_no_gain", "safe, but no better than doing nothing"),
        ("reject", "Rejected: worse than doing nothing"),
        ("uncertain", "cannot be told"),
    ],
)
def test_every_outcome_has_its_headline(outcome: str, words: str, evidence: Path, tmp_path: Path) -> None:
    judged = verdict(gate("exposure", "passed"), outcome=outcome, gain_low=None, gain_high=None)
    text = Page(written(tmp_path / "r.html", judged, evidence)).words
    assert words in text
    assert "no interval" in text
    assert f"Exit code {0 if outcome == 'accept' else 4}" in text


def test_pictures_are_upright_and_show_the_light(evidence: Path) -> None:
    shown = load_evidence(evidence).shown[0]
    pictures = {name: cv2.imread(str(evidence / getattr(shown, name))) for name in ("source", "output", "gain")}
    assert {picture.shape for picture in pictures.values() if picture is not None} == {(160, 90, 3)}
    assert shown.high_stops > 0.3
    assert abs(shown.low_stops) < 0.01


def test_a_report_appears_whole_or_not_at_all(
    evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.html"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_report(path, verdict(), facts(), evidence)
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.html"]
    monkeypatch.setattr("agent.report.write.publish", _fail)
    with pytest.raises(OSError, match="pulled"):
        write_report(path, verdict(), facts(), evidence, overwrite=True)
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.html"]


def _fail(*_: object) -> None:
    raise OSError("pulled")


def test_a_report_never_replaces_what_is_judged(tmp_path: Path) -> None:
    source = tmp_path / "in.html"
    source.write_bytes(b"video")
    with pytest.raises(UsageError, match="one of the files"):
        check_report_path(source, overwrite=True, inputs=(source,))
    check_report_path(source, overwrite=True)


def test_a_report_without_a_judged_frame(tmp_path: Path) -> None:
    save_report_evidence(tmp_path, Recorder(float), [], rotation_deg=0, peak_nits=1000.0)
    assert load_evidence(tmp_path) == Evidence(points=(), histogram=None, shown=(), shown_peak_nits=1000.0)
    words = Page(written(tmp_path / "r.html", verdict(gain=0.0), tmp_path)).words
    assert "No frame was judged" in words


def points(count: int, gain: float = 0.2) -> list[FramePoint]:
    return [
        FramePoint(
            number=i, time_s=i / 25, shot=0, window=i // 8, gain_stops=gain, source_mean_nits=40, output_mean_nits=50,
            source_p999_nits=200, output_p999_nits=800,
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize("gain", [0.0, -3.0, 12.0])
def test_charts_stay_inside_their_frame(count: int, gain: float) -> None:
    chart = gain_over_time(points(count, gain), [0])
    _, _, width, height = (float(n) for n in re.search(r'viewBox="([^"]+)"', chart)[1].split())  # type: ignore[index]
    for line in re.findall(r'points="([^"]+)"', chart):
        for place in line.split():
            x, y = (float(n) for n in place.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    assert "nan" not in chart


@pytest.mark.parametrize("numbers", [(0.0, None, None, 0.06), (0.0, 0.0, 0.0, 0.0), (-5e3, -6e3, 1e3, 3.0)])
def test_the_interval_is_drawn_for_any_numbers(numbers: tuple[float, float | None, float | None, float]) -> None:
    chart = interval_chart(*numbers, "PU21 units")
    assert "nan" not in chart
    Page(chart)


def test_the_histogram_counts_every_pixel_once() -> None:
    recorder = Recorder(float)
    source = np.full((8, 8, 3), 203.0, np.float32)
    source[0, 0] = np.nan
    recorder.add(pair(source, np.full((8, 8, 3), 20000.0, np.float32)))
    found = recorder.histogram()
    assert found is not None
    assert sum(found.source_percent) == pytest.approx(100)
    assert found.output_percent[-1] == pytest.approx(100)
    at = next(i for i, share in enumerate(found.source_percent) if share > 50)
    assert found.edges_nits[at] <= 203 <= found.edges_nits[at + 1]
    assert found.source_percent[0] == pytest.approx(100 / 64)
    Page(histogram_chart(found))


def test_frames_are_chosen_by_failed_gates_and_few() -> None:
    gates = [gate(f"g{i}", "failed", 3.0, (i, i + 1)) for i in range(0, 20, 2)]
    gates += [
        gate("same", "failed", 3.0, (0,)),
        gate("fine", "passed", 1.0, (30,)),
        gate("far", "failed", 3.0, (99,)),
    ]
    chosen = choose_frames(verdict(*gates), points(40))
    assert [number for number, why in chosen.items() if why != "key frame"] == [0, 2, 4, 6, 8]
    assert chosen[0] == "g0, same"
    assert sum(why == "key frame" for why in chosen.values()) == 3
    assert 99 not in chosen
    assert choose_frames(verdict(), []) == {}


def test_pictures_travel_as_they_are(evidence: Path, tmp_path: Path) -> None:
    page = Page(written(tmp_path / "r.html", verdict(), evidence))
    first = next(attrs["src"] or "" for tag, attrs in page.seen if tag == "img")
    names = {path.read_bytes() for path in evidence.glob("*.jpg")}
    assert base64.b64decode(first.removeprefix("data:image/jpeg;base64,")) in names
