"""Clean pictures for training restoring networks: photographs, procedural scenes and drawn charts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.primaries import conversion_matrix, luminance_coefficients
from toolchain.errors import InputError
from training.data.grading import GradeRecipe, grade
from training.data.scenes import SCENES

Picture = NDArray[np.float32]
"""HxWx3 float32: linear light before grading, BT.709 R'G'B' signal in [0, 1] after."""

_GRADES = ("shoulder", "shoulder", "clip", "reinhard", "filmic", "bt2390")
_TO_BT2020 = conversion_matrix("bt709", "bt2020").T.astype(np.float32)
SCENE_SIZE = (960, 540)


def read_photograph(path: Path) -> Picture:
    """Relative linear BT.709 light of an .exr (RGB, luminance/chroma or Y only) or Radiance .hdr file; finite, >= 0.

    A panorama's poles, where the projection smears, are left out. Raises InputError for a file that cannot be read.
    """
    if path.suffix.lower() == ".exr":
        light = _read_exr(path)
    else:
        bgr = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if bgr is None or bgr.ndim != 3:
            raise InputError(f"{path} cannot be read as a Radiance picture: give an intact .hdr file.")
        rows = len(bgr)
        light = bgr[rows // 6 : rows - rows // 4, :, ::-1]
    return np.ascontiguousarray(np.maximum(np.nan_to_num(light, posinf=0.0, neginf=0.0), 0.0), dtype=np.float32)


def _read_exr(path: Path) -> Picture:
    import OpenEXR

    try:
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise InputError(f"{path} cannot be read as OpenEXR ({error}): give an intact .exr file.") from error
    planes = {name: channel.pixels.astype(np.float32) for name, channel in channels.items()}
    if {"R", "G", "B"} <= planes.keys():
        return np.stack([planes["R"], planes["G"], planes["B"]], axis=-1)
    if "Y" not in planes:
        raise InputError(f"{path} holds the channels {', '.join(planes)}: R, G, B or Y are needed.")
    return _from_luminance_chroma(planes)


def _from_luminance_chroma(planes: dict[str, NDArray[np.float32]]) -> Picture:
    """OpenEXR's RY = (R - Y) / Y and BY = (B - Y) / Y, kept at half size, with BT.709 luminance weights."""
    luma = planes["Y"]
    size = (luma.shape[1], luma.shape[0])
    zero = np.zeros_like(luma)
    red, blue = (luma * (1 + (cv2.resize(planes[name], size) if name in planes else zero)) for name in ("RY", "BY"))
    k_red, k_green, k_blue = luminance_coefficients("bt709")
    return np.stack([red, (luma - k_red * red - k_blue * blue) / k_green, blue], axis=-1)


class CleanPictures:
    """Draws clean signal patches of one split: `patch(rng, size)`.

    `photographs`: linear light with the least factor each is shrunk by, which takes its own noise and softness away.
    """

    def __init__(
        self, photographs: Sequence[tuple[Picture, float]], scene_seeds: Sequence[int], shares: Sequence[float]
    ):
        self._photographs = photographs
        self._scenes = [
            scene(seed).render(0.7 * seed, *SCENE_SIZE).astype(np.float16) for seed in scene_seeds for scene in SCENES
        ]
        self._shares = np.asarray(shares) / np.sum(shares)

    def patch(self, rng: np.random.Generator, size: int) -> Picture:
        """(size, size, 3) BT.709 R'G'B' signal in [0, 1]."""
        kind = rng.choice(3, p=self._shares)
        if kind == 0 and self._photographs:
            patch = self._photograph(rng, size)
        elif kind == 1 and self._scenes:
            patch = self._scene(rng, size)
        else:
            patch = chart(rng, size)
        turned = np.rot90(patch, int(rng.integers(4))) if rng.random() < 0.3 else patch
        return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)

    def _photograph(self, rng: np.random.Generator, size: int) -> Picture:
        light, least_factor = self._photographs[int(rng.integers(len(self._photographs)))]
        room = min(light.shape[:2]) / size
        factor = min(room, least_factor * float(rng.choice((1.0, 1.0, 1.3, 2.0))))
        window = _window(rng, light, int(size * factor))
        small = cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA)
        level = max(1e-4, float(np.quantile(small.mean(axis=-1), 0.6)))
        nits = small @ _TO_BT2020 * np.float32(np.exp(rng.uniform(np.log(15), np.log(85))) / level)
        recipe = GradeRecipe(
            curve=_GRADES[int(rng.integers(len(_GRADES)))], saturation=rng.uniform(0.7, 1.3), peak_nits=2000.0
        )
        return grade(np.minimum(nits, 4000.0), recipe)

    def _scene(self, rng: np.random.Generator, size: int) -> Picture:
        window = _window(rng, self._scenes[int(rng.integers(len(self._scenes)))], size)
        return grade(window.astype(np.float32), GradeRecipe(exposure_ev=rng.uniform(-0.7, 0.7)))


def _window(rng: np.random.Generator, picture: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    top, left = (int(rng.integers(length - size + 1)) for length in picture.shape[:2])
    return picture[top : top + size, left : left + size]


def chart(rng: np.random.Generator, size: int) -> Picture:
    """(size, size, 3) signal in [0, 1]: a cloudy or sloping ground with figures, lines and lettering upon it."""
    canvas = _ground(rng, 2 * size)
    for _ in range(rng.integers(2, 14)):
        draw = (_draw_figure, _draw_line, _draw_letters)[int(rng.integers(3))]
        draw(rng, canvas, tuple(float(v) for v in _colour(rng)))
    small = cv2.resize(np.clip(canvas, 0, 1), (size, size), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        small += rng.uniform(0.01, 0.12) * _cloud(rng, size, slope=rng.uniform(0.8, 1.5))[..., None]
    return np.clip(small, 0.0, 1.0).astype(np.float32)


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.clip(rng.uniform(0.02, 0.95) + rng.normal(0, 0.15, 3), 0, 1)


def _ground(rng: np.random.Generator, size: int) -> Picture:
    first, second = _colour(rng), _colour(rng)
    if rng.random() < 0.5:
        blend = np.clip(0.5 + rng.uniform(0.1, 0.3) * _cloud(rng, size, slope=rng.uniform(0.8, 2.2)), 0, 1)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        rows, columns = np.mgrid[0:size, 0:size] / size - 0.5
        blend = 0.5 + 0.5 * (np.cos(angle) * rows + np.sin(angle) * columns)
    return (first + blend[..., None] * (second - first)).astype(np.float32)


def _cloud(rng: np.random.Generator, size: int, slope: float) -> NDArray[np.float64]:
    """Noise with amplitude 1 / f^slope, mean 0, spread 1."""
    frequency = np.hypot(*np.meshgrid(np.fft.rfftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(size, size))) / frequency**slope, s=(size, size))
    return (field - field.mean()) / (field.std() + 1e-12)


def _point(rng: np.random.Generator, canvas: Picture) -> tuple[int, int]:
    return int(rng.integers(canvas.shape[1])), int(rng.integers(canvas.shape[0]))


def _draw_figure(rng: np.random.Generator, canvas: Picture, colour: tuple[float, ...]) -> None:
    if rng.random() < 0.5:
        axes = (int(rng.integers(6, 120)), int(rng.integers(6, 120)))
        cv2.ellipse(canvas, _point(rng, canvas), axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    else:
        corners = np.array(_point(rng, canvas)) + rng.integers(-90, 90, (4, 2))
        cv2.fillConvexPoly(canvas, cv2.convexHull(corners.astype(np.int32)), colour, cv2.LINE_AA)


def _draw_line(rng: np.random.Generator, canvas: Picture, colour: tuple[float, ...]) -> None:
    cv2.line(canvas, _point(rng, canvas), _point(rng, canvas), colour, int(rng.integers(1, 10)), cv2.LINE_AA)


def _draw_letters(rng: np.random.Generator, canvas: Picture, colour: tuple[float, ...]) -> None:
    text = "".join(chr(c) for c in rng.integers(33, 127, rng.integers(3, 14)))
    font, thickness = int(rng.integers(8)), int(rng.integers(1, 5))
    cv2.putText(canvas, text, _point(rng, canvas), font, rng.uniform(0.6, 3.0), colour, thickness, cv2.LINE_AA)
