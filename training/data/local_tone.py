"""Local tone work that no curve can undo: a phone's compression of the SDR base, a colourist's windows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolchain.color.arrays import FloatArray
from toolchain.color.primaries import luminance_coefficients
from toolchain.color.transfer import REFERENCE_WHITE_NITS

Image = FloatArray
DARKEST_NITS = 0.05
_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)


def luminance(rgb_nits: Image) -> Image:
    """(..., 3) BT.2020 -> (...) in the same unit."""
    return rgb_nits @ _LUMINANCE


@dataclass(frozen=True)
class PhoneLook:
    """How a phone's camera compresses locally: see `phone_compress`."""

    strength: float = 0.8
    """Share of a bright region's stops above the knee that is taken from it, 0 to 1."""
    radius: float = 0.2
    """Size of a region in heights."""
    knee_nits: float = 40.0
    edge_stops: float = 1.2
    """Brightness steps larger than this divide regions, smaller ones do not."""

    @staticmethod
    def sample(rng: np.random.Generator) -> PhoneLook:
        """Looks whose gain map spreads about as far within one SDR level as those of phone photographs do."""
        return PhoneLook(
            strength=float(rng.uniform(0.55, 1.0)),
            radius=float(rng.uniform(0.12, 0.4)),
            knee_nits=float(np.exp(rng.uniform(np.log(20.0), np.log(70.0)))),
            edge_stops=float(rng.uniform(0.8, 2.5)),
        )


def phone_compress(rgb_nits: Image, look: PhoneLook) -> Image:
    """The picture whose bright regions are pulled down towards mid-tones, details kept, as phones do.

    `rgb_nits` is (H, W, 3). Regions come from an edge-aware smoothing of log luminance; what they have above the knee
    shrinks, and deep shadows are lifted a little. HDR over SDR is then near 1 in mid-tones and shadows and follows
    the region's brightness, not the pixel's: a dark cloud in a bright sky keeps the sky's gain.
    """
    stops = np.log2(np.maximum(luminance(rgb_nits), DARKEST_NITS))
    region = guided_smooth(stops, stops, max(1, round(look.radius * stops.shape[0])), look.edge_stops)
    over = np.logaddexp(0.0, 2.0 * (region - np.log2(look.knee_nits))) / 2.0
    under = np.clip(np.log2(0.02 * REFERENCE_WHITE_NITS) - region, 0.0, 4.0)
    gain_stops = look.strength * (0.15 * under - over)
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
