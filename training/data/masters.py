"""HDR masters: files of scene-linear light, views of panoramas, and the colourist's first grade of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.arrays import FloatArray
from toolchain.color.primaries import (
    CHROMATICITIES,
    D65,
    conversion_matrix,
    luminance_coefficients,
    xyz_to_rgb_matrix,
)
from toolchain.color.tonescale import bt2390_eetf
from toolchain.errors import EnvironmentNotReady, InputError

Image = FloatArray
_BT709_TO_BT2020 = conversion_matrix("bt709", "bt2020").T.astype(np.float32)
_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""Lam, 1985, as ICC.1:2022 Annex E gives it."""


# Files


def read_radiance(path: Path) -> Image:
    """A Radiance .hdr file -> (H, W, 3) float32 scene-linear BT.2020, no negative values; BT.709 in the file."""
    pixels = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if pixels is None or pixels.dtype != np.float32:
        raise InputError(f"{path} is not a readable Radiance picture: give an RGBE .hdr file.")
    return _finite(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) @ _BT709_TO_BT2020)


def read_exr(path: Path) -> Image:
    """An OpenEXR photograph -> (H, W, 3) float32 scene-linear BT.2020, no negative values.

    Takes R, G, B; Y with RY, BY (OpenEXR's luminance/chroma, chroma at half size); or Y alone, a grey picture. The
    file's chromaticities are honoured (Bradford to D65), without them BT.709 as the format says. Alpha is ignored,
    colours are premultiplied. Raises InputError for what it cannot read, EnvironmentNotReady without OpenEXR.
    """
    channels, header = _exr_channels(path)
    primaries = _exr_primaries(header, path)
    if {"R", "G", "B"} <= channels.keys():
        rgb = np.stack([channels[name] for name in "RGB"], axis=-1)
    elif "Y" in channels:
        rgb = _from_luminance_chroma(channels, primaries[1])
    else:
        raise InputError(f"{path} has the channels {', '.join(sorted(channels))}: give R, G, B or Y, RY, BY.")
    return _finite(rgb @ (xyz_to_rgb_matrix("bt2020") @ primaries).T.astype(np.float32))


def _exr_channels(path: Path) -> tuple[dict[str, Image], dict[str, Any]]:
    try:
        import OpenEXR
    except ImportError as error:
        raise EnvironmentNotReady(
            "OpenEXR is not installed: install sdr2hdr-agent[train] to read .exr masters."
        ) from error
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.asarray(channel.pixels, np.float32) for name, channel in file.channels().items()}
            return channels, dict(file.header())
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise InputError(
            f"{path} is not a readable OpenEXR picture ({error}): give a scan-line .exr file."
        ) from error


def _from_luminance_chroma(channels: dict[str, Image], weights: NDArray[np.float64]) -> Image:
    """R = (RY + 1) Y, B = (BY + 1) Y, G what luminance leaves. OpenEXR, "Luminance/Chroma Images"."""
    luminance = channels["Y"]
    size = luminance.shape[1::-1]
    red, blue = (
        (cv2.resize(channels[name], size, interpolation=cv2.INTER_LINEAR) + 1.0) * luminance
        if name in channels
        else luminance
        for name in ("RY", "BY")
    )
    green = (luminance - weights[0] * red - weights[2] * blue) / weights[1]
    return np.stack([red, green, blue], axis=-1).astype(np.float32)


def _exr_primaries(header: dict[str, Any], path: Path) -> NDArray[np.float64]:
    """The file's linear RGB to D65 XYZ, 3x3; row 1 are its luminance weights."""
    listed = header.get("chromaticities")
    default = [value for point in (*CHROMATICITIES["bt709"], D65) for value in point]
    points = np.asarray(default if listed is None else listed, dtype=np.float64).reshape(-1, 2)
    if points.shape != (4, 2) or not np.isfinite(points).all() or np.any(np.abs(points[:, 1]) < 1e-9):
        raise InputError(f"{path} has the chromaticities {listed}: four x, y pairs with y not 0 are readable.")
    columns = np.stack([points[:, 0] / points[:, 1], np.ones(4), (1 - points.sum(1)) / points[:, 1]])
    try:
        rgb_to_xyz = columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
    except np.linalg.LinAlgError as error:
        raise InputError(f"{path} has the chromaticities {listed}: its primaries lie on one line.") from error
    d65 = np.array([D65[0] / D65[1], 1.0, (1 - sum(D65)) / D65[1]])
    cone_gain = (_BRADFORD @ d65) / (_BRADFORD @ columns[:, 3])
    return np.linalg.inv(_BRADFORD) @ (cone_gain[:, None] * _BRADFORD) @ rgb_to_xyz


def _finite(rgb: NDArray[np.floating]) -> Image:
    return np.clip(np.nan_to_num(rgb, nan=0.0, posinf=1e6, neginf=0.0), 0.0, 1e6).astype(np.float32)


# Views


def perspective_view(
    panorama: Image, yaw_deg: float, pitch_deg: float, width: int, height: int, field_of_view_deg: float = 90.0
) -> Image:
    """What a camera inside an equirectangular (H, 2 H, 3) panorama sees, bilinear; pitch up is positive."""
    focal = 0.5 * width / np.tan(np.radians(field_of_view_deg) / 2)
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    pitch = np.radians(pitch_deg)
    up = -y * np.cos(pitch) + focal * np.sin(pitch)
    ahead = y * np.sin(pitch) + focal * np.cos(pitch)
    longitude = np.arctan2(x, ahead) + np.radians(yaw_deg)
    latitude = np.arctan2(up, np.hypot(x, ahead))
    rows, columns = panorama.shape[:2]
    map_x = ((longitude / (2 * np.pi) + 0.5) % 1.0) * columns - 0.5
    map_y = (0.5 - latitude / np.pi) * rows - 0.5
    maps = (map_x.astype(np.float32), map_y.astype(np.float32))
    return np.asarray(cv2.remap(panorama, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), dtype=np.float32)


def crop_view(picture: Image, centre: tuple[float, float], scale: float, width: int, height: int) -> Image:
    """The largest width:height window times `scale` (0 to 1) around `centre` (0 to 1 each), area-averaged."""
    rows, columns = picture.shape[:2]
    window_height = scale * min(rows, columns * height / width)
    window_width = window_height * width / height
    left = round(centre[0] * (columns - window_width))
    top = round(centre[1] * (rows - window_height))
    window = picture[top : top + round(window_height), left : left + round(window_width)]
    return np.asarray(cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)


# The colourist's first grade


@dataclass(frozen=True)
class MasterGrade:
    """How scene light becomes a graded HDR master in nits."""

    key_nits: float = 28.0
    """Where the picture's log-mean lands; 18 % grey under 203-nit white is 37 nits."""
    contrast: float = 1.1
    """Power of luminance around the key."""
    saturation: float = 1.05
    peak_nits: float = 1000.0
    bleach: float = 0.5
    """How much of the highlight roll-off is done per channel: 1 turns bright colours white, 0 keeps their hue."""

    @staticmethod
    def sample(rng: np.random.Generator, key_nits: tuple[float, float] = (16.0, 52.0)) -> MasterGrade:
        """A plausible grade: keys log-uniform in `key_nits`, peaks of 600 to 2000 nits."""
        return MasterGrade(
            key_nits=float(np.exp(rng.uniform(*np.log(key_nits)))),
            contrast=float(rng.uniform(0.95, 1.25)),
            saturation=float(rng.uniform(0.9, 1.25)),
            peak_nits=float(rng.choice([600.0, 800.0, 1000.0, 1000.0, 1000.0, 1200.0, 1500.0, 2000.0])),
            bleach=float(rng.uniform(0.2, 1.0)),
        )


def grade_master(scene: Image, recipe: MasterGrade) -> Image:
    """(H, W, 3) scene-linear BT.2020, any scale -> display-linear nits in [0, peak], float32.

    Log-mean luminance (of what lies between the darkest and the brightest twentieth) to the key, contrast around it,
    saturation, then the BT.2390 roll-off from the picture's own brightest light, up to 10000 nits, to the peak.
    """
    luminance = np.maximum(scene @ _LUMINANCE, 1e-9)
    low, high = np.percentile(luminance, (5, 95))
    key = np.exp(np.log(np.clip(luminance, low, high)).mean())
    shown = luminance / key
    scaled = scene * (recipe.key_nits / key * shown ** (recipe.contrast - 1.0))[..., None]
    grey = (recipe.key_nits * shown**recipe.contrast)[..., None]
    nits = np.maximum(grey + recipe.saturation * (scaled - grey), 0.0)
    return roll_off(nits, recipe.peak_nits, recipe.bleach)


def roll_off(nits: Image, peak_nits: float, bleach: float = 0.5) -> Image:
    """Highlights under `peak_nits` by the EETF of Report ITU-R BT.2390; nothing changes where the picture fits."""
    brightest = min(float(nits.max()), 10000.0)
    if brightest <= peak_nits:
        return nits.astype(np.float32)
    each = bt2390_eetf(nits, brightest, peak_nits)
    largest = np.maximum(nits.max(axis=-1, keepdims=True), 1e-6)
    together = nits * (bt2390_eetf(largest, brightest, peak_nits) / largest)
    return np.clip(bleach * each + (1.0 - bleach) * together, 0.0, peak_nits).astype(np.float32)
