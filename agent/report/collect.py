"""Gathers a report's evidence in the worker: numbers while frames are judged, then a few frames read again.

Nothing here holds a picture for longer than it takes to look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from agent.report.evidence import KEY_FRAME, Evidence, FramePoint, Histogram, ShownFrame, save_evidence
from agent.report.pictures import gain_picture, gain_stops, page_picture, save_jpeg
from analysis.schema import Verdict
from analysis.vqa.spec import FramePair
from analysis.vqa.view import luminance, stops

MAX_FAILED_SHOWN = 5
MAX_KEY_FRAMES = 3

BINS_PER_DECADE = 12
LOWEST_DECADE, HIGHEST_DECADE = -2, 4
"""The histogram reaches from 0.01 to 10000 nits."""

BINS = BINS_PER_DECADE * (HIGHEST_DECADE - LOWEST_DECADE)


class Recorder:
    """Looks at the frame pairs on their way to the judge. `times_s`: each source frame's time since the first."""

    def __init__(self, times_s: Callable[[int], float]):
        self.points: list[FramePoint] = []
        self.time_s = times_s
        self._counts = np.zeros((2, BINS), np.int64)

    def watch(self, pairs: Iterable[FramePair]) -> Iterator[FramePair]:
        """The same pairs, noted as they pass."""
        for pair in pairs:
            if not pair.glance:
                self.add(pair)
            yield pair

    def add(self, pair: FramePair) -> None:
        """Note one pair's light. Values that are not finite count as black."""
        source, output = (
            np.nan_to_num(luminance(rgb), nan=0.0, posinf=0.0, neginf=0.0)
            for rgb in (pair.source_nits, pair.output_nits)
        )
        for row, y in zip(self._counts, (source, output), strict=True):
            row += np.bincount(_bins(y), minlength=BINS)
        self.points.append(
            FramePoint(
                number=pair.number,
                time_s=self.time_s(pair.number),
                shot=pair.shot,
                window=pair.window,
                gain_stops=float(np.mean(stops(output) - stops(source))),
                source_mean_nits=float(source.mean()),
                output_mean_nits=float(output.mean()),
                source_p999_nits=_p999(source),
                output_p999_nits=_p999(output),
            )
        )

    def histogram(self) -> Histogram | None:
        """Luminance of all pairs seen; None before the first."""
        if not self.points:
            return None
        edges = np.logspace(LOWEST_DECADE, HIGHEST_DECADE, BINS + 1)
        source, output = (100 * row / row.sum() for row in self._counts)
        return Histogram(
            edges_nits=tuple(edges.tolist()),
            source_percent=tuple(source.tolist()),
            output_percent=tuple(output.tolist()),
        )


def choose_frames(verdict: Verdict, points: list[FramePoint]) -> dict[int, str]:
    """Frame number -> why it is shown: a worst frame of each failed gate, then key frames spread over the judged.

    At most MAX_FAILED_SHOWN and MAX_KEY_FRAMES; only frames that were judged; in order of frame numbers.
    """
    judged = {point.number for point in points}
    reasons: dict[int, list[str]] = {}
    for gate in verdict.gates:
        worst = [number for number in gate.frames if number in judged] if gate.state == "failed" else []
        known = next((number for number in worst if number in reasons), None)
        if known is not None:
            reasons[known].append(gate.gate)
        elif worst and len(reasons) < MAX_FAILED_SHOWN:
            reasons[worst[0]] = [gate.gate]
    chosen = {number: ", ".join(gates) for number, gates in reasons.items()}
    for number in _key_frames(sorted(judged - set(chosen))):
        chosen[number] = KEY_FRAME
    return dict(sorted(chosen.items()))


def save_report_evidence(
    folder: Path,
    recorder: Recorder,
    shown: Iterable[tuple[FramePair, str]],
    rotation_deg: int,
    peak_nits: float,
) -> None:
    """Write the evidence of what `recorder` saw and of the pairs to be `shown` (with why) into `folder`.

    `rotation_deg`: how a player turns the source's frames; `peak_nits`: what the output was allowed to reach.
    """
    frames = tuple(_show(folder, pair, why, recorder, rotation_deg, peak_nits) for pair, why in shown)
    save_evidence(
        folder,
        Evidence(
            points=tuple(sorted(recorder.points, key=lambda point: point.number)),
            histogram=recorder.histogram(),
            shown=frames,
            shown_peak_nits=peak_nits,
        ),
    )


def _show(
    folder: Path, pair: FramePair, why: str, recorder: Recorder, rotation_deg: int, peak_nits: float
) -> ShownFrame:
    gain = gain_stops(pair.source_nits, pair.output_nits)
    stem = f"frame_{pair.number:08d}"
    pictures = {
        "source": page_picture(pair.source_nits, peak_nits),
        "output": page_picture(pair.output_nits, peak_nits),
        "gain": gain_picture(gain),
    }
    for name, picture in pictures.items():
        save_jpeg(folder / f"{stem}_{name}.jpg", picture, rotation_deg)
    low, high = np.percentile(gain, [5, 95])
    return ShownFrame(
        number=pair.number,
        time_s=recorder.time_s(pair.number),
        shot=pair.shot,
        why=why,
        low_stops=float(low),
        high_stops=float(high),
        **{name: f"{stem}_{name}.jpg" for name in pictures},
    )


def _key_frames(numbers: list[int]) -> list[int]:
    """A few of the numbers, from the middle of equal parts."""
    wanted = min(MAX_KEY_FRAMES, len(numbers))
    return [numbers[(2 * i + 1) * len(numbers) // (2 * wanted)] for i in range(wanted)]


def _bins(y_nits: np.ndarray) -> np.ndarray:
    position = (np.log10(np.maximum(y_nits, 10.0**LOWEST_DECADE)) - LOWEST_DECADE) * BINS_PER_DECADE
    return np.minimum(position.astype(np.int64), BINS - 1).ravel()


def _p999(y_nits: np.ndarray) -> float:
    """The 99.9th percentile, in nits."""
    rank = int(0.999 * (y_nits.size - 1))
    return float(np.partition(y_nits, rank, axis=None)[rank])
