"""Clean pictures that no restoring network was trained on, and what is done to them, for benchmarks.restoration.

Noise and softness are made here, not by the code that makes the training pairs; coders are real.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from toolchain.color.primaries import conversion_matrix
from toolchain.color.ycbcr import code_range, rgb_to_ycbcr_matrix
from toolchain.errors import InputError
from toolchain.video.decode import decoded_format
from training.data.grading import GradeRecipe, grade
from training.data.restore_pairs import SplitConfig
from training.data.restore_sources import read_photograph
from training.data.scenes import SCENES

Signal = NDArray[np.float32]
"""(H, W, 3) BT.709 R'G'B' in [0, 1]."""
Packed = NDArray[np.float32]
"""(3 H / 2, W): 4:2:0 planes Y, Cb, Cr one after the other, in 10-bit limited-range codes."""

WIDTH, HEIGHT = 384, 256
FRAMES = 8
SHOWN = 5
"""The frame of a sequence that is judged: any kind of frame to the coder, with a past for temporal filters."""
PAN_PX = (2, 1)

CLIPS = ("internal_emulator_transformer_output.mp4", "sample.mp4", "bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4")
CLIP_START = 20
"""Clips begin in black or with a logo."""

CRFS = (23, 30, 37)
FULL_WELLS = {"low": 6000.0, "medium": 1500.0, "high": 300.0}
"""Electrons at white, fewer the higher a camera's sensitivity: 1, 2 and 5 8-bit codes of noise in luma."""
READ_NOISE = 4.0
_WHITE_BALANCE = np.array([1.9, 1.0, 1.6])
_TO_BT2020 = conversion_matrix("bt709", "bt2020").T.astype(np.float32)


@dataclass(frozen=True)
class Sequence8:
    """A clean moving picture. `kind`: photograph, procedural or clip. `source`: the photograph, the clip or the kind
    of scene; intervals are clustered by it."""

    kind: str
    source: str
    frames: tuple[Signal, ...] | tuple[Packed, ...]

    def packed(self, frames: Sequence[Signal] | None = None) -> list[Packed]:
        given = self.frames if frames is None else frames
        return [to_packed(frame) if frame.ndim == 3 else frame for frame in given]


def clean_sequences(split: SplitConfig, photographs: Path, clips: Path | None) -> list[Sequence8]:
    """Of every source in the held-out split one sequence, panning over a still; of every clip its own frames."""
    found = []
    for index, source in enumerate(split.photographs):
        found.append(
            Sequence8("photograph", source.file, _pan(_photograph(photographs / source.file, source.shrink, index)))
        )
    for seed in split.scene_seeds:
        for scene in SCENES:
            still = grade(scene(seed).render(0.7 * seed, 960, 540))
            found.append(Sequence8("procedural", scene.name, _pan(still[140:, 250:])))
    if clips is not None:
        found += [Sequence8("clip", name, _clip(clips / name)) for name in CLIPS if (clips / name).is_file()]
    return found


def _photograph(path: Path, shrink: float, index: int) -> Signal:
    light = read_photograph(path)
    height, width = (int((length + 24) * shrink) for length in (HEIGHT, WIDTH))
    top, left = ((size - length) // 2 for size, length in zip(light.shape[:2], (height, width), strict=True))
    if min(top, left) < 0:
        raise InputError(f"{path} is too small for a crop of {WIDTH}x{HEIGHT}: give the photograph at its full size.")
    window = cv2.resize(
        light[top : top + height, left : left + width], (WIDTH + 24, HEIGHT + 24), interpolation=cv2.INTER_AREA
    )
    level = max(1e-4, float(np.quantile(window.mean(axis=-1), 0.6)))
    nits = window @ _TO_BT2020 * np.float32((30.0, 60.0)[index % 2] / level)
    return grade(np.minimum(nits, 2000.0), GradeRecipe(peak_nits=2000.0))


def _pan(still: Signal) -> tuple[Signal, ...]:
    across, down = PAN_PX
    return tuple(
        np.ascontiguousarray(still[down * n : down * n + HEIGHT, across * n : across * n + WIDTH])
        for n in range(FRAMES)
    )


def _clip(path: Path) -> tuple[Packed, ...]:
    """The middle of `FRAMES` frames of a clip as it decodes."""
    frames = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= CLIP_START:
                codes = frame.reformat(format=decoded_format("yuv420p", 10)).to_ndarray()
                frames.append(_middle(codes.astype(np.float32)))
            if len(frames) == FRAMES:
                return tuple(frames)
    raise InputError(f"{path} has fewer than {CLIP_START + FRAMES} frames: give the whole clip.")


def _middle(codes: Packed) -> Packed:
    height, width = codes.shape[0] * 2 // 3, codes.shape[1]
    top, left = (height - HEIGHT) // 4 * 2, (width - WIDTH) // 4 * 2
    luma = codes[:height][top : top + HEIGHT, left : left + WIDTH]
    chroma = codes[height:].reshape(2, height // 2, width // 2)
    chroma = chroma[:, top // 2 : (top + HEIGHT) // 2, left // 2 : (left + WIDTH) // 2]
    return np.concatenate([luma.ravel(), chroma.ravel()]).reshape(HEIGHT * 3 // 2, WIDTH)


def to_packed(signal: Signal) -> Packed:
    """R'G'B' to Y'CbCr in 10-bit codes, not rounded; chroma averaged over 2x2 pixels."""
    y_offset, y_scale, c_offset, c_scale = code_range(10, "limited")
    ycbcr = signal @ rgb_to_ycbcr_matrix("bt709").T.astype(np.float32)
    half = (signal.shape[1] // 2, signal.shape[0] // 2)
    chroma = cv2.resize(np.ascontiguousarray(ycbcr[..., 1:]), half, interpolation=cv2.INTER_AREA) * c_scale + c_offset
    packed = [(ycbcr[..., 0] * y_scale + y_offset).ravel(), chroma[..., 0].ravel(), chroma[..., 1].ravel()]
    return np.concatenate(packed).reshape(signal.shape[0] * 3 // 2, signal.shape[1]).astype(np.float32)


def to_eight_bits(packed: Packed) -> NDArray[np.uint8]:
    return np.clip(np.rint(packed / 4), 0, 255).astype(np.uint8)


Damage = Callable[[Sequence8, int], list[NDArray[np.uint8]] | None]
"""A sequence and a seed -> its damaged frames, packed, in 8 bits; None where the damage cannot be made."""


def damages() -> dict[str, tuple[str, Damage]]:
    """Name -> (group, what does it). Clips, which exist only as Y'CbCr, are coded again and nothing else."""
    cases: dict[str, tuple[str, Damage]] = {"clean": ("clean", lambda s, _: [to_eight_bits(p) for p in s.packed()])}
    for coder in ("libx264", "libx265"):
        for crf in CRFS:
            cases[f"{coder[3:]} crf {crf}"] = ("coding", _coding(coder, crf))
    for name, electrons in FULL_WELLS.items():
        cases[f"camera noise, {name}"] = ("noise", _per_frame(_noise(electrons)))
    for sigma in (0.8, 1.2):
        cases[f"soft, Gaussian {sigma} px"] = ("soft", _per_frame(partial(_blurred, sigma_px=sigma)))
    cases["soft, from 2/3 size"] = ("soft", _per_frame(_enlarged))
    return cases


def _per_frame(change: Callable[[Signal, np.random.Generator], Signal]) -> Damage:
    def damaged(sequence: Sequence8, seed: int) -> list[NDArray[np.uint8]] | None:
        if sequence.kind == "clip":
            return None
        rng = np.random.default_rng(seed)
        changed = [np.clip(change(frame, rng), 0, 1).astype(np.float32) for frame in sequence.frames]
        return [to_eight_bits(packed) for packed in sequence.packed(changed)]

    return damaged


def _blurred(signal: Signal, _: np.random.Generator, sigma_px: float) -> Signal:
    return cv2.GaussianBlur(signal, (0, 0), sigma_px).astype(np.float32, copy=False)


def _enlarged(signal: Signal, _: np.random.Generator) -> Signal:
    small = cv2.resize(signal, (round(WIDTH / 1.5), round(HEIGHT / 1.5)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.float32, copy=False)


def _noise(full_well: float) -> Callable[[Signal, np.random.Generator], Signal]:
    """Photons and a reader's noise on a Bayer sensor, white-balanced and interpolated, as a camera does.

    Only the noise goes through the mosaic: the picture itself stays as sharp as it was.
    """

    def noisy(signal: Signal, rng: np.random.Generator) -> Signal:
        light = np.where(signal < 0.081, signal / 4.5, ((signal + 0.099) / 1.099) ** (1 / 0.45))
        electrons = light / _WHITE_BALANCE * full_well
        caught = rng.poisson(electrons) + rng.normal(0, READ_NOISE, electrons.shape)
        error = (caught - electrons) / full_well * _WHITE_BALANCE
        light = np.maximum(light + _mosaicked(error.astype(np.float32)), 0)
        return np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099).astype(np.float32)

    return noisy


def _mosaicked(error: Signal) -> Signal:
    """What bilinear interpolation makes of a field sampled through an RGGB mosaic."""
    levels = np.clip(np.rint(error * 20000) + 32768, 0, 65535).astype(np.uint16)
    mosaic = levels[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = levels[::2, ::2, 0], levels[1::2, 1::2, 2]
    rgb = cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2RGB)
    return ((rgb - 32768.0) / 20000).astype(np.float32)


def _coding(coder: str, crf: int) -> Damage:
    return lambda sequence, _: coded([to_eight_bits(packed) for packed in sequence.packed()], coder, crf)


def coded(frames: Sequence[NDArray[np.uint8]], coder: str, crf: int) -> list[NDArray[np.uint8]]:
    """Packed 8-bit 4:2:0 frames through a real coder at preset medium and back."""
    options = {"crf": str(crf), "preset": "medium", "threads": "1"}
    if coder == "libx265":
        options = {**options, "x265-params": "log-level=none:pools=none:frame-threads=1"}
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = cast(VideoStream, container.add_stream(coder, rate=Fraction(25), options=options))
        stream.height, stream.width, stream.pix_fmt = frames[0].shape[0] * 2 // 3, frames[0].shape[1], "yuv420p"
        for codes in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(codes, "yuv420p")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as decoded:
        return [frame.to_ndarray().astype(np.uint8, copy=False) for frame in decoded.decode(video=0)]
