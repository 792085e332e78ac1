"""How much nearer to a graded master the output is expected to be than doing nothing.

Nearness is the mean squared error in PU21 luminance. What the master is at each tone is a distribution that
`analysis.vqa.expectation` reads off the source alone. Two numbers come of it that share nothing but that network:
`expected_gain` weighs single frames for the pilot; the gate `harm` asks, over all frames of a file, how likely the
result is to be visibly further from the master than doing nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.schema import GateResult
from analysis.vqa.expectation import Expectation, Values, shipped_expectation, source_tones
from analysis.vqa.metric import MetricSpec
from analysis.vqa.pooling import judged, nothing_measured
from analysis.vqa.view import View
from toolchain.color.pu21 import pu21_decode, pu21_encode

VISIBLE_LOSS_DB = 0.5
"""A result this much further from the master, in dB of squared error, is harm; less is within what nobody sees."""

LEAST_ERROR_PU2 = 9.0
"""Three PU21 units squared, what a good encoder leaves: nearer to the master than that counts as equal."""

LEAST_SPREAD_PU2 = 0.3


@dataclass(frozen=True)
class FrameTones:
    """What the gate keeps of a frame: PU21 means over each tone, and of squares of the two that are compared."""

    signature: Values
    share: NDArray[np.float64]
    level: NDArray[np.float64]
    """The source as it is."""
    nothing: NDArray[np.float64]
    """The source at the exposure asked for: what doing nothing would be."""
    nothing_squared: NDArray[np.float64]
    output: NDArray[np.float64]
    output_squared: NDArray[np.float64]
    peak_nits: float

    def errors(self, expect: Expectation, video: Values) -> Errors:
        """Expected squared errors against the master, in PU21 units squared."""
        rise, spread = expect(self.signature, video)
        master = self._at_exposure(self.level + rise)
        share = self.share
        scatter = float(share @ spread.astype(np.float64) ** 2)
        nothing = float(share @ (self.nothing_squared - 2 * self.nothing * master + master**2)) + scatter
        output = float(share @ (self.output_squared - 2 * self.output * master + master**2)) + scatter
        factor = 10 ** (VISIBLE_LOSS_DB / 10)
        slope = (self.output - master) - factor * (self.nothing - master)
        return Errors(nothing, output, 2 * share * slope * spread)

    def _at_exposure(self, master_pu: NDArray[np.float64]) -> NDArray[np.float64]:
        """The master moved as the source was for the exposure asked for, under the peak asked for."""
        moved = pu21_decode(np.maximum(master_pu, 0)) * pu21_decode(self.nothing) / pu21_decode(self.level)
        return np.asarray(pu21_encode(np.minimum(moved, self.peak_nits)), np.float64)


@dataclass(frozen=True)
class Errors:
    """Expected squared error of doing nothing and of the output, PU21 squared."""

    nothing: float
    output: float
    deviation: NDArray[np.float64]
    """What their difference changes by if the master is off by one standard deviation at each of TONES."""


def frame_tones(view: View) -> FrameTones:
    """The tones of a pair; worked out once for the metric and the gate."""
    tones = view.of_source.once(source_tones)
    nothing, output = view.reference.half_pu, view.half_output_pu
    return FrameTones(
        signature=tones.signature,
        share=tones.share,
        level=tones.mean(view.of_source.half_pu),
        nothing=tones.mean(nothing),
        nothing_squared=tones.mean(np.square(nothing)),
        output=tones.mean(output),
        output_squared=tones.mean(np.square(output)),
        peak_nits=view.controls.peak_nits,
    )


def expected_gain_db(view: View) -> float:
    """Expected error of doing nothing over that of the output, in dB; 0 for output = source, positive for better."""
    tones = view.once(frame_tones)
    errors = tones.errors(shipped_expectation(), tones.signature)
    return 10 * math.log10((errors.nothing + LEAST_ERROR_PU2) / (errors.output + LEAST_ERROR_PU2))


@dataclass
class HarmGate:
    """Chance in percent that the result is visibly further from a master than doing nothing.

    Shots count alike, frames of a shot alike. The master's errors are taken to hang together over the whole video, as
    one colourist's choices do, so more frames do not make the gate surer than it is. How they hang together over
    tones is measured (`TrainedExpectation.together`).
    """

    limit: float
    name: str = "harm"
    unit: str = "% chance"
    _shots: dict[int, list[tuple[int, FrameTones]]] = field(default_factory=dict)

    def add(self, view: View) -> None:
        self._shots.setdefault(view.shot, []).append((view.number, view.once(frame_tones)))

    def result(self) -> GateResult:
        if not self._shots:
            return nothing_measured(self.name, self.unit, self.limit, "")
        shots = {shot: sorted(frames, key=lambda item: item[0]) for shot, frames in sorted(self._shots.items())}
        video = np.mean(
            [np.mean([tones.signature for _, tones in frames], axis=0) for frames in shots.values()], axis=0
        ).astype(np.float32)
        expect = shipped_expectation()
        errors = {shot: [tones.errors(expect, video) for _, tones in frames] for shot, frames in shots.items()}
        margin = float(_mean(errors, _margin))
        deviation = _mean(errors, lambda each: each.deviation)
        spread = math.sqrt(max(float(deviation @ expect.together @ deviation), 0.0))
        chance = 50 * math.erfc(margin / (math.sqrt(2) * (spread + LEAST_SPREAD_PU2)))
        worst = min(errors, key=lambda shot: float(np.mean([_margin(e) for e in errors[shot]])))
        detail = f"expected to be {_gain_text(errors)} a graded master than doing nothing; worst in shot {worst}"
        return judged(self.name, self.unit, chance, self.limit, detail, [shots[worst][0][0]])


def _margin(errors: Errors) -> float:
    return 10 ** (VISIBLE_LOSS_DB / 10) * (errors.nothing + LEAST_ERROR_PU2) - (errors.output + LEAST_ERROR_PU2)


def _mean(
    errors: Mapping[int, Sequence[Errors]], value: Callable[[Errors], float | NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Shots alike, frames of a shot alike."""
    shots = [np.mean(np.array([value(each) for each in listed]), axis=0) for listed in errors.values()]
    return np.asarray(np.mean(np.array(shots), axis=0), np.float64)


def _gain_text(errors: Mapping[int, Sequence[Errors]]) -> str:
    nothing, output = (
        float(_mean(errors, value)) + LEAST_ERROR_PU2
        for value in (lambda each: each.nothing, lambda each: each.output)
    )
    gain = 10 * math.log10(nothing / output)
    return f"{abs(gain):.1f} dB {'nearer to' if gain >= 0 else 'further from'}"


GAIN = MetricSpec(
    "expected_gain", "dB", (-90.0, 90.0), "higher", "PU21 luminance, half size, by tone", "selection",
    "expected squared error against a graded master of doing nothing over that of the output", neutral=0.0,
    measure=expected_gain_db,
)  # fmt: skip

HARM = MetricSpec(
    "harm", "% chance", (0.0, 100.0), "lower", "PU21 luminance, half size, by tone", "gate",
    "chance of being visibly further from a graded master than doing nothing", neutral=None,
    gate=lambda spec, limit, controls: HarmGate(limit),
)  # fmt: skip
