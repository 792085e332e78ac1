"""Errors that are left once a version's tone choice is taken out: those that a picture can show by itself.

How bright and how contrasty a master chose to be cannot be seen without it, so a version is brought to the tones of
a reference first: by one monotone curve for the whole clip, so that flicker stays an error, and one gain of chroma.
What neither brings back is damage: clipped, crushed, banded, noisy, soft, flickering, off in hue. How far the curve
had to reach counts only beyond what good renditions of one title differ by. Both undamaged pictures of a title are
references, its coded master and its SDR picture, and the nearer one counts: what the master shows and the SDR picture
never had cannot be seen either. Measured on the stored pictures: labels change without a picture being drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.vqa.display import DISPLAY_PEAK_NITS
from analysis.vqa.libvmaf import MAX_CODE, NEG_MODEL, LumaFile, measure, pick
from toolchain.color.ictcp import ITP_WEIGHTS, ictcp_from_nits
from toolchain.color.primaries import luminance_coefficients
from toolchain.color.pu21 import pu21_decode, pu21_encode
from training.data.vqa_shards import FULL

Floats = NDArray[np.float32]
Codes = NDArray[np.uint16]

TONE_RAW = {
    "toned_delta_e": "mean dE-ITP (BT.2124-0) of the key picture at half size and of every fourth motion picture",
    "toned_unrest": "mean change of the difference in ITP from motion picture to motion picture, in dE-ITP",
    "toned_ssim_key": "1 - multi-scale SSIM (libvmaf float_ms_ssim) of the key picture's PU21 luma",
    "toned_ssim_motion": "1 - SSIM of the PU21 luma of every fourth motion picture",
    "toned_vmaf": "VMAF NEG (libvmaf) of the key picture's PU21 luma, below the reference's own",
    "toned_cambi": "CAMBI (libvmaf, max_log_contrast 5) of the key picture above the reference's, at least 0",
    "tone_excess": "mean difference in PU21 luma, of 1 at the display's peak, beyond TONE_TOLERANCE",
}
"""Errors against the nearer of REFERENCES; all but the last with the version's tone choice taken out."""
TONE_ERRORS = tuple(TONE_RAW)
REFERENCES = (0, 1)
"""The versions that count as undamaged: the master, and the SDR picture shown at 203 nits (`vqa_versions.BASE`)."""
TONE_TOLERANCE = 0.09
"""Mean difference in PU21 luma, of 1 at the display's peak, that undamaged renditions of one title have."""
CHROMA_GAINS = (0.7, 1.4)
"""Gains of chroma that count as a choice."""
MOTION_STEP = 4
LEVELS = 256
_FEATURES = ("name=float_ms_ssim", "name=cambi:max_log_contrast=5")
_PU_PEAK = float(pu21_encode(DISPLAY_PEAK_NITS))
_NITS = pu21_decode(np.linspace(0.0, _PU_PEAK, FULL + 1)).astype(np.float32)
_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)
_ITP = (720 * ITP_WEIGHTS).astype(np.float32)
_SSIM_SIGMA, _SSIM_C1, _SSIM_C2 = 1.5, 0.01**2, 0.03**2
"""Wang et al., Image quality assessment: from error visibility to structural similarity (2004), for a range of 1."""


@dataclass(frozen=True)
class _Shown:
    """One version. Luma is PU21 over the peak's; ITP is in units of dE; the key picture's ITP at half size."""

    key_luma: Floats
    motion_luma: Floats
    key_itp: Floats
    motion_itp: Floats


def tone_free_errors(key: Codes, motion: Codes) -> list[dict[str, float]]:
    """`TONE_ERRORS` of each version of a title, given its stored arrays (V, 256, 448, 3) and (V, 32, 72, 128, 3)."""
    to_each = [_errors_to(_shown(key[r], motion[r]), key, motion) for r in REFERENCES]
    return [
        {name: round(min(errors[name] for errors in one), 6) for name in TONE_ERRORS}
        for one in zip(*to_each, strict=True)
    ]


def _errors_to(reference: _Shown, key: Codes, motion: Codes) -> list[dict[str, float]]:
    found, lumas = [], []
    for still, moving in zip(key, motion, strict=True):
        errors, luma = _errors(_shown(still, moving), reference)
        found.append(errors)
        lumas.append(luma)
    for errors, more in zip(found, _library_errors(lumas, reference.key_luma), strict=True):
        errors.update(more)
    return found


def monotone_curve(given: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Knots (x rising, y never falling) of the monotone curve that brings `given` to `wanted`, both in [0, 1], any
    equal shape: the mean of `wanted` at each of LEVELS levels, pooled where it falls (isotonic least squares)."""
    flat, due = given.ravel(), wanted.ravel()
    level = np.minimum((flat * LEVELS).astype(np.intp), LEVELS - 1)
    count = np.bincount(level, minlength=LEVELS)
    used = count > 0
    x, y = (np.bincount(level, values, LEVELS)[used] / count[used] for values in (flat, due))
    return x.astype(np.float32), _isotonic(y, count[used].astype(np.float64)).astype(np.float32)


def _isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest sequence that never falls (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, length = value, weight, 1
        while pools and pools[-1][0] >= mean:
            before, its_mass, its_length = pools.pop()
            mean = (mean * mass + before * its_mass) / (mass + its_mass)
            mass, length = mass + its_mass, length + its_length
        pools.append((mean, mass, length))
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])


def _shown(key: Codes, motion: Codes) -> _Shown:
    still, moving = _NITS[key], _NITS[motion]
    half = cv2.resize(still, (key.shape[1] // 2, key.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return _Shown(_luma(still), _luma(moving), _itp(np.asarray(half, np.float32)), _itp(moving))


def _luma(nits: Floats) -> Floats:
    return (pu21_encode(nits @ _LUMINANCE) / np.float32(_PU_PEAK)).astype(np.float32)


def _itp(nits: Floats) -> Floats:
    return ictcp_from_nits(nits).astype(np.float32, copy=False) * _ITP


def _errors(version: _Shown, reference: _Shown) -> tuple[dict[str, float], Floats]:
    """What needs no library, and the key picture's luma in the reference's tones."""
    curve = monotone_curve(
        _both(version.key_luma, version.motion_luma), _both(reference.key_luma, reference.motion_luma)
    )
    key, motion = (np.interp(part, *curve).astype(np.float32) for part in (version.key_luma, version.motion_luma))
    still, moving = _toned_itp(version, reference)
    steps = slice(None, None, MOTION_STEP)
    change = np.diff(moving - reference.motion_itp, axis=0)
    deviation = np.abs(version.motion_luma - reference.motion_luma).mean()
    ssim = [_ssim(a, b) for a, b in zip(motion[steps], reference.motion_luma[steps], strict=True)]
    return {
        "toned_delta_e": (_far(still, reference.key_itp) + _far(moving[steps], reference.motion_itp[steps])) / 2,
        "toned_unrest": float(np.linalg.norm(change, axis=-1).mean()),
        "toned_ssim_motion": max(1.0 - float(np.mean(ssim)), 0.0),
        "tone_excess": max(float(deviation) - TONE_TOLERANCE, 0.0),
    }, key


def _both(key: Floats, motion: Floats) -> Floats:
    return np.concatenate([key.ravel(), motion.ravel()])


def _far(a: Floats, b: Floats) -> float:
    return float(np.linalg.norm(a - b, axis=-1).mean())


def _toned_itp(version: _Shown, reference: _Shown) -> tuple[Floats, Floats]:
    """Key and motion ITP with intensity through its own monotone curve and chroma times the gain that fits best."""
    own, due = (np.concatenate([s.key_itp.reshape(-1, 3), s.motion_itp.reshape(-1, 3)]) for s in (version, reference))
    curve = monotone_curve(own[:, 0] / _ITP[0], due[:, 0] / _ITP[0])
    chroma = own[:, 1:]
    gain = float((chroma * due[:, 1:]).sum() / max(float((chroma**2).sum()), 1e-6))
    gain = np.float32(np.clip(gain, *CHROMA_GAINS))
    parts = []
    for itp in (version.key_itp, version.motion_itp):
        intensity = _ITP[0] * np.interp(itp[..., :1] / _ITP[0], *curve).astype(np.float32)
        parts.append(np.concatenate([intensity, gain * itp[..., 1:]], axis=-1))
    return parts[0], parts[1]


def _ssim(a: Floats, b: Floats) -> float:
    """Mean structural similarity of two luma pictures in [0, 1], Gaussian window."""

    def blur(picture: Floats) -> Floats:
        return np.asarray(cv2.GaussianBlur(picture, (11, 11), _SSIM_SIGMA), np.float32)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, cov = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + _SSIM_C1) * (2 * cov + _SSIM_C2)
    return float((top / ((mean_a**2 + mean_b**2 + _SSIM_C1) * (var_a + var_b + _SSIM_C2))).mean())


def _library_errors(lumas: list[Floats], reference: Floats) -> list[dict[str, float]]:
    """Row by row; the reference itself is measured too, as what VMAF and CAMBI count from."""
    height, width = reference.shape
    codes = [np.rint(np.clip(luma, 0, 1) * MAX_CODE).astype(np.uint16) for luma in (reference, *lumas)]
    with LumaFile(width, height) as shown, LumaFile(width, height) as truth:
        for picture in codes:
            shown.append(picture)
            truth.append(codes[0])
        rows = measure(shown, truth, _FEATURES, NEG_MODEL)
    # Where structure is inverted, multi-scale SSIM is the root of a negative number: none of it is left.
    ssim, vmaf, cambi = (
        np.nan_to_num([pick(row, name) for row in rows]) for name in ("float_ms_ssim", "vmaf", "cambi")
    )
    return [
        {
            "toned_ssim_key": max(1.0 - float(ssim[i]), 0.0),
            "toned_vmaf": max(float(vmaf[0] - vmaf[i]), 0.0),
            "toned_cambi": max(float(cambi[i] - cambi[0]), 0.0),
        }
        for i in range(1, len(rows))
    ]
