"""Local tone work that a pointwise curve cannot undo: a phone's compression of the SDR base, a colourist's windows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.primaries import luminance_coefficients
from toolchain.color.transfer import REFERENCE_WHITE_NITS

Image = NDArray[np.float32]
DARKEST_NITS = 0.05
_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)


def luminance(rgb_nits: Image) -> Image:
    """(..., 3) BT.2020 -> (...) in the same unit."""
    return rgb_nits @ _LUMINANCE


def phone_compress(rgb_nits: Image, strength: float, radius: float = 0.06) -> Image:
    """The picture whose large bright areas are pulled down towards reference white, details kept, as phones do.

    `rgb_nits` is (H, W, 3). The base layer is an edge-aware smoothing of log luminance (guided filter, K. He et al.,
    2013, `radius` heights); its part above 80 nits shrinks by `strength` in [0, 1] of its stops, and deep shadows are
    lifted by a quarter of that. So HDR over SDR is near 1 in the mid-tones and follows local brightness above.
    """
    stops = np.log2(np.maximum(luminance(rgb_nits), DARKEST_NITS))
    base = guided_smooth(stops, stops, max(1, round(radius * stops.shape[0])), edge_stops=1.0)
    knee = np.log2(0.4 * REFERENCE_WHITE_NITS)
    shadow = np.log2(0.02 * REFERENCE_WHITE_NITS)
    over = np.logaddexp(0.0, 2.0 * (base - knee)) / 2.0
    under = np.clip(shadow - base, 0.0, 4.0)
    gain_stops = 0.25 * strength * under - strength * over
    return (rgb_nits * np.exp2(gain_stops)[..., None]).astype(np.float32)


def windows_gain(rng: np.random.Generator, rgb_nits: Image, reach_ev: float = 0.9) -> Image:
    """A colourist's power windows as one smooth gain (H, W, 1): soft ellipses, a graduated edge, lifted lights.

    Gains lie within +-`reach_ev` in the windows; where the picture's surroundings are bright up to as much again is
    added, since in HDR it is the lights that are opened up.
    """
    height, width = rgb_nits.shape[:2]
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5 - width / 2) / height
    gain = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(1, 4)):
        centre, radii = rng.uniform((-0.8, 0.1), (0.8, 0.9)), rng.uniform(0.2, 0.6, 2)
        distance = np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])
        gain += rng.uniform(-0.8, 1.0) * reach_ev * np.exp(-(distance ** rng.uniform(1.5, 4.0)))
    if rng.random() < 0.5:
        gain += rng.uniform(-0.5, 0.8) * reach_ev * np.clip(1.0 - y / rng.uniform(0.2, 0.7), 0.0, 1.0)
    if rng.random() < 0.6:
        stops = np.log2(np.maximum(luminance(rgb_nits), DARKEST_NITS))
        base = guided_smooth(stops, stops, max(1, height // 12), edge_stops=1.0)
        gain += rng.uniform(0.2, 1.0) * reach_ev * np.clip((base - 6.3) / 2.0, 0.0, 1.0)
    return np.exp2(np.clip(gain, -reach_ev, 2.0 * reach_ev))[..., None]


def guided_smooth(guide: Image, values: Image, radius_px: int, edge_stops: float) -> Image:
    """`values` smoothed over (2 r + 1)^2 pixels except across edges of `guide` larger than about `edge_stops`.

    The guided filter with a grey guide: K. He, J. Sun, X. Tang, Guided Image Filtering, TPAMI 2013, equations 5-8.
    """
    size = (2 * radius_px + 1, 2 * radius_px + 1)

    def mean(image: Image) -> Image:
        return np.asarray(cv2.blur(image, size, borderType=cv2.BORDER_REFLECT), dtype=np.float32)

    guide, values = guide.astype(np.float32), values.astype(np.float32)
    guide_mean, values_mean = mean(guide), mean(values)
    covariance = mean(guide * values) - guide_mean * values_mean
    variance = np.maximum(mean(guide * guide) - guide_mean**2, 0.0)
    slope = covariance / (variance + np.float32(edge_stops**2))
    return mean(slope) * guide + mean(values_mean - slope * guide_mean)
