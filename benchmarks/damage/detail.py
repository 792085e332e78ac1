"""Damage to detail: `(good output, place, strength) -> damaged output`, both BT.2020 nits, float32."""

from __future__ import annotations

import cv2
import numpy as np

from analysis.vqa.spec import Image
from benchmarks.damage.light import luminance
from benchmarks.damage.place import Place
from toolchain.color.pu21 import pu21_decode, pu21_encode
from toolchain.color.transfer import pq_eotf, pq_eotf_inverse

CODES = 876.0
"""Ten-bit limited-range steps of a PQ signal."""

_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6


def grain(output: Image, place: Place, factor: float) -> Image:
    """Grey noise, this many times what the source has, and at least this many PU21 units, new in every frame."""
    source = pu21_encode(luminance(place.source)).astype(np.float32)
    sigma = max(1.4826 * float(np.median(np.abs(cv2.filter2D(source, -1, _LAPLACIAN)))), 1.0)
    noise = np.random.default_rng(place.seed).normal(0, factor * sigma, source.shape)
    return _add_pu(output, noise)


def requantise(output: Image, place: Place, codes: float) -> Image:
    """Luminance in steps of this many ten-bit codes."""
    y = luminance(output)
    signal = pq_eotf_inverse(y)
    steps = pq_eotf(np.round(signal * CODES / codes) * codes / CODES)
    return (output * (steps / np.maximum(y, 1e-4))[..., None]).astype(np.float32)


def has_gradients(first: Image, place: Place, codes: float) -> bool:
    """A tenth of the picture is smooth, not black, and not one flat tone."""
    signal = (CODES * pq_eotf_inverse(luminance(first))).astype(np.float32)
    rough = np.abs(cv2.filter2D(signal, -1, _LAPLACIAN))
    wide = cv2.dilate(signal, np.ones((41, 41))) - cv2.erode(signal, np.ones((41, 41)))
    smooth = (cv2.blur(rough, (15, 15)) < 0.5) & (wide > codes) & (wide < 100) & (luminance(first) > 1)
    return float(smooth.mean()) >= 0.1


def blur(output: Image, place: Place, sigma_px: float) -> Image:
    """A Gaussian, in light."""
    return np.asarray(cv2.GaussianBlur(output, (0, 0), sigma_px), np.float32)


def sharpen(output: Image, place: Place, amount: float) -> Image:
    """An unsharp mask of one pixel: bright and dark seams along edges."""
    return _unsharp(output, 1.0, 2 * amount)


def wide_halo(output: Image, place: Place, amount: float) -> Image:
    """An unsharp mask of twelve pixels: the glow of careless local tone mapping."""
    return _unsharp(output, 12.0, amount)


def texture(output: Image, place: Place, amplitude_pu: float) -> Image:
    """Fine structure that the source does not have, fixed in place over the shot."""
    noise = np.random.default_rng(7 + place.shot).normal(0, 1, output.shape[:2]).astype(np.float32)
    band = cv2.GaussianBlur(noise, (0, 0), 1.0) - cv2.GaussianBlur(noise, (0, 0), 2.5)
    return _add_pu(output, amplitude_pu * band / float(band.std()))


def bend(output: Image, place: Place, amplitude_px: float) -> Image:
    """Straight lines bent into waves of this height."""
    height, width = output.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = (x + amplitude_px * np.sin(y / 14), y + amplitude_px * np.sin(x / 14))
    maps = [axis.astype(np.float32) for axis in moved]
    bent = cv2.remap(output, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(bent, np.float32)


def mosaic(output: Image, place: Place, share: float) -> Image:
    """Blocks of eight pixels mixed in: a tile grid, or a coder at its end."""
    height, width = output.shape[:2]
    blocks = cv2.resize(output, (-(-width // 8), -(-height // 8)), interpolation=cv2.INTER_AREA)
    grid = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    return (output + np.float32(share) * (grid - output)).astype(np.float32)


def has_detail(first: Image, place: Place, strength: float) -> bool:
    """A hundredth of the picture are edges."""
    pu = pu21_encode(luminance(first)).astype(np.float32)
    return float(np.mean(np.abs(pu - cv2.GaussianBlur(pu, (0, 0), 2.0)) > 8)) >= 0.01


def _unsharp(output: Image, sigma_px: float, amount: float) -> Image:
    pu = pu21_encode(luminance(output)).astype(np.float32)
    return _add_pu(output, amount * (pu - cv2.GaussianBlur(pu, (0, 0), sigma_px)))


def _add_pu(output: Image, difference: np.ndarray) -> Image:
    """Luminance changed by PU21 units, colour kept."""
    y = luminance(output)
    changed = pu21_decode(np.clip(pu21_encode(y) + difference, 0, 420))
    return (output * (changed / np.maximum(y, 1e-3))[..., None]).astype(np.float32)
