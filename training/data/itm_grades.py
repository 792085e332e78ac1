"""How one HDR master becomes several SDR/HDR pairs: the grades of a title, its local work, compression, anchoring."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.arrays import FloatArray
from toolchain.color.primaries import conversion_matrix, luminance_coefficients
from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf
from training.data.compress import Compression, compress
from training.data.grading import CURVES, SAMPLE_GRADE, UNSEEN_CURVES, Curve, GradeRecipe, grade
from training.data.local_tone import PhoneLook, phone_compress, windows_gain
from training.data.masters import roll_off

Image = FloatArray
Local = Literal["none", "phone", "windows"]
Profile = Literal["anchored", "broadcast"]
SEEN_CURVES: tuple[Curve, ...] = tuple(curve for curve in CURVES if curve not in UNSEEN_CURVES)
CODED_SCALE = 2
"""Compressed pictures are coded this much larger: defects of a full-size video mostly average out in a thumbnail."""
_BT709_LUMINANCE = luminance_coefficients("bt709").astype(np.float32)
_BT2020_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)
_TO_BT2020 = conversion_matrix("bt709", "bt2020").T.astype(np.float32)
MID_SIGNALS = (0.3, 0.6)
LEAST_MID_SHARE = 0.02


@dataclass(frozen=True)
class Grade:
    """One SDR version of a title: its curve, the local work on it, its compression and how the master is anchored."""

    recipe: GradeRecipe = SAMPLE_GRADE
    local: Local = "none"
    local_seed: int = 0
    compression: Compression | None = None
    profile: Profile = "anchored"

    @property
    def unseen(self) -> bool:
        return self.recipe.curve in UNSEEN_CURVES


def sample_recipe(rng: np.random.Generator, curve: Curve, brightest_nits: float) -> GradeRecipe:
    """A plausible setting of the curve: exposure +-0.5 EV, saturation 0.8 to 1.2, white at or below the brightest."""
    exposure = float(rng.uniform(-0.5, 0.5))
    white = brightest_nits * 2.0**exposure * float(np.exp(rng.uniform(-0.5, 0.1)))
    knee = rng.uniform(0.8, 0.9) ** 2.4 if curve == "knee" else rng.uniform(0.3, 0.85)
    return GradeRecipe(
        curve=curve,
        exposure_ev=exposure,
        saturation=float(rng.uniform(0.8, 1.2)),
        peak_nits=float(np.clip(white, 260.0, 10000.0)),
        knee=float(knee),
        strength=float(np.exp(rng.uniform(np.log(0.6), np.log(1.7)))),
        applied_to="channels" if rng.random() < 0.65 else "luminance",
    )


def compensate(recipe: GradeRecipe, master: Image, share: float) -> GradeRecipe:
    """The recipe with its exposure raised by `share` (0 to 1) of what its curve takes from `master`'s mid-tones.

    A colourist brightens a picture that a curve has darkened; without that, anchoring would pull the master's peak
    down instead, often below SDR white. White moves with the exposure, so a curve that knows only the ratio to white
    (BT.2446 A) is not compensated.
    """
    few = np.ascontiguousarray(master[::3, ::3])
    taken = share * mid_gain_ev(grade(few, replace(recipe, exposure_ev=0.0)), few)
    peak = float(np.clip(recipe.peak_nits * 2.0**taken, 260.0, 10000.0))
    return replace(recipe, exposure_ev=float(np.clip(recipe.exposure_ev + taken, -4.0, 4.0)), peak_nits=peak)


def broadcast_grade(rng: np.random.Generator, peak_nits: float) -> Grade:
    """BT.2446 A as a broadcaster's converter does it: the master stays as bright as it is, about +0.8 EV."""
    recipe = GradeRecipe("bt2446a", float(rng.uniform(-0.1, 0.1)), float(rng.uniform(0.95, 1.05)), peak_nits)
    return Grade(recipe, profile="broadcast")


def sample_compression(rng: np.random.Generator, share: float, crf: tuple[int, int]) -> Compression | None:
    """H.264 or H.265 at a uniform rate factor for `share` of the calls, else None."""
    codec: Literal["h264", "h265"] = "h264" if rng.random() < 0.5 else "h265"
    how = Compression(codec, int(rng.integers(crf[0], crf[1] + 1)))
    return how if rng.random() < share else None


@dataclass(frozen=True)
class Pairs:
    """A title under one grade: SDR codes and HDR nits (N, H, W, 3), and each picture's gains in EV.

    `mid_gain_ev` is what the mid-tones have over the SDR picture's at 203 nits, `anchor_ev` what anchoring took off.
    """

    sdr: NDArray[np.uint8]
    hdr: NDArray[np.float16]
    mid_gain_ev: list[float]
    anchor_ev: list[float]


def make_pairs(masters: Image, how: Grade) -> Pairs:
    """A title's masters (N, H, W, 3) in nits, graded; `broadcast` masters stay as bright as they are."""
    graded = [_locally(master, how, index) for index, master in enumerate(masters)]
    signals = np.stack([grade(base, how.recipe) for base, _ in graded])
    measured = [mid_gain_ev(signal, light) for signal, (_, light) in zip(signals, graded, strict=True)]
    taken = [gain if how.profile == "anchored" else 0.0 for gain in measured]
    lights = np.stack([light * np.float32(2.0**-ev) for ev, (_, light) in zip(taken, graded, strict=True)])
    left = [gain - ev for gain, ev in zip(measured, taken, strict=True)]
    return Pairs(to_codes(signals, how.compression), storable(lights), left, taken)


def storable(nits: Image) -> NDArray[np.float16]:
    """Nits in [0, 10000] with 8 fraction bits (0.25 %, a quarter of a 10-bit PQ step), so that they pack well."""
    half = np.clip(nits, 0.0, 10000.0).astype(np.float16)
    rounded = ((half.view(np.uint16) + 2) & 0xFFFC).astype(np.uint16).view(np.float16)
    return np.minimum(rounded, np.float16(10000.0))


def _locally(master: Image, how: Grade, index: int) -> tuple[Image, Image]:
    """The picture that is graded to SDR and the one that stays HDR."""
    if how.local == "none":
        return master, master
    rng = np.random.default_rng([how.local_seed, index, 73])
    if how.local == "phone":
        return phone_compress(master, PhoneLook.sample(rng)), master
    peak = max(float(master.max()), 600.0)
    return master, roll_off(master * windows_gain(rng, master), peak)


def to_codes(signals: Image, how: Compression | None) -> NDArray[np.uint8]:
    """(N, H, W, 3) signals as one clip through the encoder, or straight, to 8-bit full-range codes."""
    if how is not None:
        height, width = signals.shape[1:3]
        larger = (width * CODED_SCALE, height * CODED_SCALE)
        enlarged = np.stack([cv2.resize(signal, larger, interpolation=cv2.INTER_CUBIC) for signal in signals])
        coded = compress(np.clip(enlarged, 0.0, 1.0), how)
        signals = np.stack([cv2.resize(s, (width, height), interpolation=cv2.INTER_AREA) for s in coded])
    return np.rint(np.clip(signals, 0.0, 1.0) * 255.0).astype(np.uint8)


def mid_gain_ev(signal: Image, hdr_nits: Image) -> float:
    """Median of log2 (HDR luminance / the SDR picture's at 203-nit white) over the mid-tones.

    Mid-tones are pixels whose SDR luma signal lies in 0.3 to 0.6; where they are under 2 % of the picture, all that
    are neither black nor white; 0 where nothing is. `signal` is R'G'B' BT.709 for BT.1886, `hdr_nits` BT.2020.
    """
    shown = (bt1886_eotf(signal) @ _BT709_LUMINANCE) * np.float32(REFERENCE_WHITE_NITS)
    luma = signal @ _BT709_LUMINANCE
    chosen = (luma >= MID_SIGNALS[0]) & (luma <= MID_SIGNALS[1])
    if chosen.mean() < LEAST_MID_SHARE:
        chosen = (luma > 0.05) & (signal.max(axis=-1) < 0.98)
    if not chosen.any():
        return 0.0
    ratio = np.maximum(hdr_nits[chosen] @ _BT2020_LUMINANCE, 1e-3) / np.maximum(shown[chosen], 1e-3)
    return float(np.median(np.log2(ratio)))


def anchor_master(signal: Image, hdr_nits: Image) -> Image:
    """The master times one exposure, so that its mid-tones equal the SDR picture's at 203-nit white.

    The convention of the project: see `mid_gain_ev` for what mid-tones are. Not clipped.
    """
    return (hdr_nits * np.float32(2.0 ** -mid_gain_ev(signal, hdr_nits))).astype(np.float32)
