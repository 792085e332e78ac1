"""Known damage for everything that has a better side, and a scene that has something of everything."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from analysis.vqa.spec import source_nits
from analysis.vqa.view import SourceView, luminance
from tests.analysis.vqa.pictures import BT709, HEIGHT, WIDTH, Image, scene, skin_patch
from toolchain.color.transfer import pq_eotf, pq_eotf_inverse

Change = Callable[[Image, int, int], Image]
"""(good output, shot, frame) -> damaged output, all in nits."""


def rich_scene(seed: int = 0, drift: int = 0) -> Image:
    """`scene` with skin, sky, a strong edge, shadows with detail, a highlight: all metrics have something to say."""
    picture = scene(seed, drift)
    picture[:20, :60] = skin_patch()[:20, :60]
    picture[:28, 62:] = sky()[:28, 62:]
    picture[30:60, 100:130] = 180
    picture[30:60, 130:] = 4
    grey = 0.12 + 0.08 * np.sin(np.arange(50, dtype=np.float32) / 3)[None, :, None]
    picture[-25:, :50] = source_nits(np.broadcast_to(grey, (25, 50, 3)), BT709)
    return picture


def sky(codes: float = 30) -> Image:
    """A smooth slope over this many ten-bit PQ codes from left to right."""
    signal = 0.5 + np.linspace(0, codes / 1023, WIDTH, dtype=np.float32)
    return np.broadcast_to(pq_eotf(signal)[None, :, None], (HEIGHT, WIDTH, 3)).astype(np.float32)


def used_source_view(nits: Image) -> SourceView:
    """A source view from which an earlier candidate has already asked for pictures."""
    view = SourceView(nits)
    assert view.half_pu.size
    assert view.soft_itp.size
    return view


def turned(output: Image, degrees: float) -> Image:
    """Colours turned about the grey axis."""
    axis = np.full(3, np.radians(degrees) / np.sqrt(3))
    return np.maximum(output @ cv2.Rodrigues(axis)[0].T.astype(np.float32), 0)


def saturated(output: Image, factor: float) -> Image:
    """Chroma multiplied, negative light left in."""
    y = luminance(output)[..., None]
    return np.asarray(y + np.float32(factor) * (output - y), np.float32)


def grainy(output: Image, sigma: float) -> Image:
    """Grain in proportion to the light."""
    grain = np.random.default_rng(1).normal(0, sigma, output.shape[:2])[..., None]
    return np.maximum(output * (1 + grain), 0).astype(np.float32)


def blotched(output: Image, nits: float) -> Image:
    """Light where none was, as a network that invents would leave."""
    x, y = np.meshgrid(np.linspace(0, 9, WIDTH), np.linspace(0, 5, HEIGHT))
    return np.asarray(output + nits * np.maximum(np.sin(x) * np.sin(y), 0)[..., None], np.float32)


def in_the_middle(output: Image, factor: float) -> Image:
    """The middle of the picture brighter."""
    damaged = output.copy()
    damaged[HEIGHT // 3 : 2 * HEIGHT // 3] *= np.float32(factor)
    return damaged


def blurred(output: Image, sigma: float) -> Image:
    """Blurred, in light."""
    return np.asarray(cv2.GaussianBlur(output, (0, 0), sigma), np.float32)


def haloed(output: Image, amount: float) -> Image:
    """Unsharp masking of log light: halos on both sides of edges."""
    light = np.log2(output + np.float32(0.1))
    raised = light + np.float32(amount) * (light - blurred(light, 1.5))
    return np.clip(np.exp2(raised) - np.float32(0.1), 0, 1000)


def crushed(output: Image, nits: float) -> Image:
    """Black subtracted."""
    y = luminance(output)
    return np.asarray(output * (np.maximum(y - nits, 0) / np.maximum(y, 1e-6))[..., None], np.float32)


def banded(output: Image, codes: float) -> Image:
    """A smooth slope in steps of this many ten-bit PQ codes, over the whole picture."""
    signal = np.linspace(0.4, 0.6, output.shape[1]) * 876
    steps = pq_eotf(np.round(signal / codes) * codes / 876)
    return np.broadcast_to(steps[None, :, None], output.shape).astype(np.float32)


def stepped(output: Image, codes: float) -> Image:
    """Luminance in steps of this many ten-bit PQ codes."""
    y = np.maximum(luminance(output), np.float32(1e-4))
    steps = pq_eotf(np.round(1023 * pq_eotf_inverse(y) / codes) * codes / 1023)
    return np.asarray(output * (steps / y)[..., None], np.float32)


def stained(output: Image, share: float) -> Image:
    """Patches warmer and patches colder."""
    x, y = np.meshgrid(np.linspace(0, 9, WIDTH), np.linspace(0, 5, HEIGHT))
    wave = share * np.sin(x) * np.sin(y)
    return (output * np.stack([1 + wave, np.ones_like(wave), 1 - wave], axis=-1)).astype(np.float32)


OF: dict[str, Change] = {
    "fidelity_median": lambda o, s, n: blotched(o, 40),
    "fidelity_p95": lambda o, s, n: blotched(o, 20),
    "unevenness": lambda o, s, n: stained(o, 0.2),
    "exposure": lambda o, s, n: o * np.float32(2),
    "clipping": lambda o, s, n: np.minimum(o, np.float32(80)),
    "crushing": lambda o, s, n: crushed(o, 2),
    "noise": lambda o, s, n: grainy(o, 0.1),
    "sharpness": lambda o, s, n: blurred(o, 1),
    "ringing": lambda o, s, n: haloed(o, 1),
    "banding": lambda o, s, n: banded(o, 16),
    "contours": lambda o, s, n: stepped(o, 8),
    "structure": lambda o, s, n: blurred(o, 4),
    "structure_vmaf": lambda o, s, n: blurred(o, 2),
    "flicker": lambda o, s, n: o * np.float32(1 + 0.1 * (-1) ** n),
    "flicker_tile": lambda o, s, n: in_the_middle(o, 1 + 0.1 * (-1) ** n),
    "shot_jump": lambda o, s, n: o * np.float32(2 ** (0.5 * s)),
    "hue_median": lambda o, s, n: turned(o, 12),
    "hue_p95": lambda o, s, n: turned(o, 12),
    "skin": lambda o, s, n: turned(o, 12),
    "gamut": lambda o, s, n: saturated(o, 4),
    "gamut_p3": lambda o, s, n: np.maximum(saturated(o, 4), 0),
    "graphics": lambda o, s, n: o * np.float32(2),
    "harm": lambda o, s, n: o * np.float32(4),
    "expected_gain": lambda o, s, n: o * np.float32(4),
    "acceptance_gain": lambda o, s, n: blurred(o, 4) * np.float32(1.5),
    "pu_psnr": lambda o, s, n: grainy(o, 0.1),
}
"""Everything with a better side moves to its worse one under the damage of its name."""
