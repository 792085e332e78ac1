"""Damage in three strengths, done to the signal of a clip, whatever carries it.

Each kind takes (N, H, W, 3) signals in [0, 1] (see `training.data.vqa_media`) and gives the same shape and range.
To add one: write `(signal, medium, amount, rng) -> signal` and add its line to `DAMAGES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike

from toolchain.color.arrays import FloatArray
from toolchain.color.primaries import conversion_matrix, luminance_coefficients
from training.data.vqa_media import HDR, Clip, Medium

Strength = Literal["light", "medium", "severe"]
STRENGTHS: tuple[Strength, ...] = ("light", "medium", "severe")
Apply = Callable[[Clip, Medium, float, np.random.Generator], FloatArray]
Change = Callable[[Clip, int], ArrayLike]
"""(picture, its number in the clip) -> the picture changed."""
_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)
_BLOCK = 4


@dataclass(frozen=True)
class Damage:
    """One kind: what does it, its amount at each strength, and whether only HDR can suffer it."""

    apply: Apply
    amounts: tuple[float, float, float]
    hdr_only: bool = False


def damaged(
    signal: Clip, medium: Medium, kind: str, strength: Strength, rng: np.random.Generator, spread: float = 0.0
) -> Clip:
    """The clip with that damage, in [0, 1]; its amount varies by up to the share `spread`."""
    damage = DAMAGES[kind]
    amount = damage.amounts[STRENGTHS.index(strength)] * float(np.exp(spread * rng.uniform(-1.0, 1.0)))
    return np.clip(damage.apply(signal, medium, amount, rng), 0.0, 1.0).astype(np.float32, copy=False)


def _each(signal: Clip, change: Change) -> Clip:
    out = np.empty_like(signal)
    for index, picture in enumerate(signal):
        out[index] = np.asarray(change(picture, index))
    return out


def _in_light(signal: Clip, medium: Medium, change: Change) -> Clip:
    """Frame by frame, on nits."""
    return _each(
        signal, lambda picture, index: medium.signal(np.asarray(change(medium.light(picture), index), np.float32))
    )


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


# Noise and detail


def _grain(signal: Clip, medium: Medium, codes: float, rng: np.random.Generator) -> FloatArray:
    """New noise each frame, mostly of luminance; codes are of 8 bits."""
    height, width = signal.shape[1:3]
    bank = rng.standard_normal((4, height, width, 3), np.float32) * np.float32(0.4) + rng.standard_normal(
        (4, height, width, 1), np.float32
    )
    sigma = np.float32(codes / 255 * (0.7 if medium == HDR else 1.0))

    def change(picture: Clip, index: int) -> ArrayLike:
        shift = (int(rng.integers(height)), int(rng.integers(width)))
        return picture + sigma * np.roll(bank[index % 4], shift, (0, 1))

    return _each(signal, change)


def _blotches(signal: Clip, medium: Medium, codes: float, rng: np.random.Generator) -> FloatArray:
    """Coloured noise in clumps, as a phone's night picture or a bad denoiser has it."""
    size = signal.shape[2:0:-1]

    def change(picture: Clip, _: int) -> ArrayLike:
        coarse = rng.standard_normal((size[1] // 6, size[0] // 6, 3), np.float32)
        coarse -= coarse.mean(axis=-1, keepdims=True)
        return picture + np.float32(codes / 255) * cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)

    return _each(signal, change)


def _blur(signal: Clip, medium: Medium, sigma: float, rng: np.random.Generator) -> FloatArray:
    return _each(signal, lambda picture, _: cv2.GaussianBlur(picture, (0, 0), sigma))


def _defocus(signal: Clip, medium: Medium, radius: float, rng: np.random.Generator) -> FloatArray:
    """A disc in light: highlights become discs too."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0).astype(np.float32)
    disc /= disc.sum()
    return _in_light(signal, medium, lambda light, _: cv2.filter2D(light, -1, disc))


def _resize(signal: Clip, medium: Medium, factor: float, rng: np.random.Generator) -> FloatArray:
    height, width = signal.shape[1:3]
    small = (round(width / factor), round(height / factor))
    how = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.integers(3))]
    return _each(
        signal,
        lambda picture, _: cv2.resize(
            cv2.resize(picture, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=how
        ),
    )


def _halos(signal: Clip, medium: Medium, amount: float, rng: np.random.Generator) -> FloatArray:
    sigma = float(rng.uniform(1.0, 2.5))
    gain = np.float32(amount)
    return _each(signal, lambda picture, _: picture + gain * (picture - cv2.GaussianBlur(picture, (0, 0), sigma)))


# Coding


def _codec(signal: Clip, medium: Medium, crf: float, rng: np.random.Generator) -> FloatArray:
    return medium.coded(signal, min(int(crf) + int(rng.integers(-1, 2)), 51))


def _blocks(signal: Clip, medium: Medium, quality: float, rng: np.random.Generator) -> FloatArray:
    """Each frame through a coarse block transform of its own (JPEG)."""

    def change(picture: Clip, _: int) -> ArrayLike:
        codes = np.rint(picture * 255).astype(np.uint8)
        _, data = cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32) / 255

    return _each(signal, change)


def _banding(signal: Clip, medium: Medium, levels: float, rng: np.random.Generator) -> FloatArray:
    """Requantised to so many levels, without dither."""
    smooth = _each(signal, lambda picture, _: cv2.GaussianBlur(picture, (0, 0), 0.8))
    return np.rint(smooth * np.float32(levels)) / np.float32(levels)


# Tones


def _clip(signal: Clip, medium: Medium, share: float, rng: np.random.Generator) -> FloatArray:
    """Flat highlights: the brightest share of the clip at one level."""
    return np.minimum(signal, np.float32(np.quantile(signal[:, ::4, ::4].max(axis=-1), 1 - share)))


def _overexpose(signal: Clip, medium: Medium, stops: float, rng: np.random.Generator) -> FloatArray:
    """Brighter, and clipped where there is no room."""
    return _in_light(signal, medium, lambda light, _: light * np.float32(2**stops))


def _crush(signal: Clip, medium: Medium, share: float, rng: np.random.Generator) -> FloatArray:
    """Black at this share of the clip's middle, and all above stretched to fit."""
    floor = np.float32(share * min(float(np.median(signal[:, ::4, ::4])), 0.8))
    return np.maximum(signal - floor, 0.0) / (1 - floor)


def _exposure(signal: Clip, medium: Medium, stops: float, rng: np.random.Generator) -> FloatArray:
    gain = np.float32(2.0 ** (_sign(rng) * stops))
    return _in_light(signal, medium, lambda light, _: light * gain)


def _haze(signal: Clip, medium: Medium, nits: float, rng: np.random.Generator) -> FloatArray:
    """Lifted blacks: light over everything."""
    return _in_light(signal, medium, lambda light, _: light + np.float32(nits))


def _contrast(signal: Clip, medium: Medium, power: float, rng: np.random.Generator) -> FloatArray:
    """The wrong gamma about the clip's own middle."""
    middle = np.float32(np.median(signal[:, ::4, ::4])) + np.float32(1e-3)
    gamma = np.float32(power if rng.random() < 0.5 else 1 / power)
    return middle * (signal / middle) ** gamma


def _over_expansion(signal: Clip, medium: Medium, gain: float, rng: np.random.Generator) -> FloatArray:
    """A model that lifts highlights, or everything, far too much."""
    start_nits = float(rng.choice((5.0, 30.0, 100.0)))

    def change(light: Clip, _: int) -> ArrayLike:
        over = np.clip((light @ _LUMINANCE) / np.float32(start_nits) - 1, 0.0, 1.0)[..., None]
        return light * (1 + np.float32(gain) * over)

    return _in_light(signal, medium, change)


def _invented(signal: Clip, medium: Medium, share: float, rng: np.random.Generator) -> FloatArray:
    """Blotches of light over the picture, as a network that invents would leave."""
    size = signal.shape[2:0:-1]
    coarse = cv2.resize(rng.standard_normal((5, 9)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    gain = (1 + np.float32(share) * np.maximum(coarse, 0.0))[..., None]
    return _in_light(signal, medium, lambda light, _: light * gain + np.float32(10) * (gain - 1))


# Colour


def _saturation(signal: Clip, medium: Medium, power: float, rng: np.random.Generator) -> FloatArray:
    factor = np.float32(power if rng.random() < 0.5 else 1 / power**2)

    def change(light: Clip, _: int) -> ArrayLike:
        grey = (light @ _LUMINANCE)[..., None]
        return np.maximum(grey + factor * (light - grey), 0.0)

    return _in_light(signal, medium, change)


def _gamut(signal: Clip, medium: Medium, amount: float, rng: np.random.Generator) -> FloatArray:
    """BT.709 components shown as BT.2020's, or the other way round; amounts over 1 do it more than once."""
    names = ("bt2020", "bt709") if rng.random() < 0.6 else ("bt709", "bt2020")
    whole = conversion_matrix(*names)
    matrix = (np.eye(3) + amount * (whole - np.eye(3))).T.astype(np.float32)
    return _in_light(signal, medium, lambda light, _: np.maximum(light @ matrix, 0.0))


def _hue(signal: Clip, medium: Medium, degrees: float, rng: np.random.Generator) -> FloatArray:
    """Colours turned about the grey axis."""
    turn, _ = cv2.Rodrigues(np.full(3, np.radians(_sign(rng) * degrees) / np.sqrt(3)))
    matrix = np.asarray(turn, np.float32).T
    return _in_light(signal, medium, lambda light, _: np.maximum(light @ matrix, 0.0))


def _cast(signal: Clip, medium: Medium, amount: float, rng: np.random.Generator) -> FloatArray:
    """A white balance that is off, in one of six directions."""
    way = np.roll((1.0, -0.3, -1.0) if rng.random() < 0.5 else (1.0, 1.0, -1.0), int(rng.integers(3)))
    gains = (2.0 ** (amount * _sign(rng) * way)).astype(np.float32)
    return _in_light(signal, medium, lambda light, _: light * gains)


# Time


def _flicker(signal: Clip, medium: Medium, share: float, rng: np.random.Generator) -> FloatArray:
    """Gain that alternates from frame to frame, or jumps about."""
    steps = rng.standard_normal(len(signal)) if rng.random() < 0.4 else (-1.0) ** np.arange(len(signal))
    gains = np.clip(1 + share * steps, 0.1, 4.0).astype(np.float32)
    return _in_light(signal, medium, lambda light, index: light * gains[index])


def _pumping(signal: Clip, medium: Medium, stops: float, rng: np.random.Generator) -> FloatArray:
    """A gain that swells and ebbs one to two and a half times in the clip."""
    turns = float(rng.uniform(1.0, 2.5)) * np.arange(len(signal)) / len(signal) + rng.random()
    gains = (2.0 ** (stops * np.sin(2 * np.pi * turns))).astype(np.float32)
    return _in_light(signal, medium, lambda light, index: light * gains[index])


def _tile_flicker(signal: Clip, medium: Medium, share: float, rng: np.random.Generator) -> FloatArray:
    """Some parts of the picture alternate, each in its own beat."""
    height, width = signal.shape[1:3]
    tiles = (rng.random((4, 6)) < 0.5).astype(np.float32)
    phase = rng.integers(2, size=(4, 6))
    soft = rng.random() < 0.5

    def change(light: Clip, index: int) -> ArrayLike:
        beat = (tiles * (-1.0) ** (phase + index)).astype(np.float32)
        how = cv2.INTER_LINEAR if soft else cv2.INTER_NEAREST
        return light * (1 + np.float32(share) * cv2.resize(beat, (width, height), interpolation=how))[..., None]

    return _in_light(signal, medium, change)


def _judder(signal: Clip, medium: Medium, hold: float, rng: np.random.Generator) -> FloatArray:
    """Frames held: each picture is shown so many times."""
    each = max(round(hold), 2)
    offset = int(rng.integers(each))
    shown = (np.arange(len(signal)) + offset) // each * each - offset
    return signal[np.clip(shown, 0, len(signal) - 1)]


DAMAGES: dict[str, Damage] = {
    "grain": Damage(_grain, (4.0, 10.0, 24.0)),
    "blotches": Damage(_blotches, (5.0, 12.0, 28.0)),
    "blur": Damage(_blur, (0.9, 1.8, 4.0)),
    "defocus": Damage(_defocus, (1.4, 2.8, 6.0)),
    "resize": Damage(_resize, (1.7, 2.8, 5.5)),
    "halos": Damage(_halos, (0.8, 2.0, 5.0)),
    "codec": Damage(_codec, (30.0, 38.0, 47.0)),
    "blocks": Damage(_blocks, (32.0, 13.0, 4.0)),
    "banding": Damage(_banding, (48.0, 24.0, 11.0)),
    "clip": Damage(_clip, (0.06, 0.2, 0.5)),
    "overexposed": Damage(_overexpose, (0.7, 1.5, 3.0)),
    "crush": Damage(_crush, (0.15, 0.45, 1.0)),
    "exposure": Damage(_exposure, (0.5, 1.3, 2.8)),
    "haze": Damage(_haze, (4.0, 18.0, 70.0)),
    "contrast": Damage(_contrast, (1.2, 1.55, 2.4)),
    "over-expansion": Damage(_over_expansion, (0.8, 2.2, 7.0), hdr_only=True),
    "invented": Damage(_invented, (0.35, 1.2, 4.0)),
    "saturation": Damage(_saturation, (1.25, 1.7, 2.8)),
    "gamut": Damage(_gamut, (0.7, 1.4, 2.6)),
    "hue": Damage(_hue, (10.0, 28.0, 75.0)),
    "cast": Damage(_cast, (0.15, 0.4, 1.0)),
    "flicker": Damage(_flicker, (0.05, 0.14, 0.4)),
    "pumping": Damage(_pumping, (0.2, 0.6, 1.6)),
    "tile-flicker": Damage(_tile_flicker, (0.08, 0.22, 0.6)),
    "judder": Damage(_judder, (2.0, 4.0, 10.0)),
}
