"""Small encoded pairs of known truth for `agent verify`: lossless, so that only what is meant differs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from tests.analysis.vqa.pictures import Image, expanded, scene
from toolchain.color.primaries import convert
from toolchain.color.transfer import bt1886_eotf_inverse, hlg_eotf_inverse, pq_eotf_inverse
from training.data.clip_writer import CONTAINERS, PQ_FFV1, PQ_HEVC, ClipWriter, VideoCoding
from training.data.frames import to_yuv420

SDR_FFV1 = VideoCoding("ffv1", "yuv420p", {"level": "3"}, 1, 1, 1)
HLG_FFV1 = VideoCoding("ffv1", "yuv420p10le", {"level": "3"}, 9, 18, 9)
P3_FFV1 = VideoCoding("ffv1", "yuv420p10le", {"level": "3"}, 12, 16, 9)
ICTCP_FFV1 = VideoCoding("ffv1", "yuv420p10le", {"level": "3"}, 9, 16, 14)

PQ_TAGS = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")


def moving(count: int = 12, seed: int = 0) -> list[Image]:
    """`count` frames of a soft scene that drifts, 90x160, in source nits."""
    return [scene(seed, drift) for drift in range(count)]


def grown(frames: Iterable[Image]) -> list[Image]:
    """A well-behaved expansion of the frames to 320 nits, as much as their many whites bear."""
    return [expanded(frame, 320.0) for frame in frames]


def write_sdr(path: Path, frames: Iterable[Image], rate: int = 25) -> Path:
    """Source nits as an 8-bit BT.709 clip without loss (.mkv)."""
    return _write(path, SDR_FFV1, (_sdr_signal(frame) for frame in frames), rate)


def write_hdr(path: Path, frames: Iterable[Image], rate: int = 25, coding: VideoCoding | None = None) -> Path:
    """Output nits as a 10-bit BT.2020 PQ clip without loss, or as `coding` says (its transfer is followed)."""
    coding = coding or (PQ_FFV1 if path.suffix == ".mkv" else PQ_HEVC)
    encode = hlg_eotf_inverse if coding.transfer == 18 else pq_eotf_inverse
    return _write(path, coding, (np.clip(encode(frame), 0, 1).astype(np.float32) for frame in frames), rate)


def remade(path: Path, source: Path, *arguments: str, before: tuple[str, ...] = ()) -> Path:
    """`source` through ffmpeg with output `arguments` and input options `before`."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-y",
        "-v",
        "error",
        *before,
        "-i",
        str(source),
        *arguments,
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def filtered(path: Path, source: Path, chain: str, *arguments: str) -> Path:
    """`source` (PQ) through a filter chain, FFV1 and tags as before."""
    return remade(path, source, "-vf", chain, "-c:v", "ffv1", *PQ_TAGS, *arguments)


def _sdr_signal(nits: Image) -> Image:
    light = np.clip(convert(nits, "bt2020", "bt709"), 0, 203)
    return bt1886_eotf_inverse(light, 203.0).astype(np.float32)


def _write(path: Path, coding: VideoCoding, signals: Iterable[Image], rate: int) -> Path:
    signals = list(signals)
    height, width = signals[0].shape[:2]
    deep = coding.pix_fmt.endswith("10le")
    with ClipWriter(path, CONTAINERS[path.suffix], coding, (width, height), Fraction(rate)) as clip:
        for signal in signals:
            clip.write(to_yuv420(signal, "bt2020nc" if deep else "bt709", 10 if deep else 8))
    return path
