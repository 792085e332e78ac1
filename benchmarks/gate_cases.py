"""What the gates are calibrated on: clips, results that are good, and damage in known strengths."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from analysis.vqa.spec import output_nits, source_nits
from analysis.vqa.view import luminance, mix
from toolchain.color.transfer import pq_eotf, pq_eotf_inverse
from toolchain.color.ycbcr import ycbcr_to_rgb_matrix
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from toolchain.video.facts import ColorInterpretation
from training.data.frames import to_yuv420
from training.data.grading import grade
from training.data.scenes import SCENES

SIZE = (480, 270)
WINDOW_FRAMES = 4
BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
VIDEOS = (
    "internal_emulator_transformer_output.mp4",
    "sample.mp4",
    "sample_with_increasing_timestamps_360p.mp4",
    "bbb_960x540_60fps_vp8.webm",
    "bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4",
    "portrait_4k60.mp4",
)

Image = NDArray[np.float32]
Damage = Callable[[Image, int, int, float], Image]
"""(good output, shot, frame, strength) -> damaged output, all in nits."""


@dataclass(frozen=True)
class Clip:
    """Shots of consecutive frames as 8-bit BT.709 R'G'B', uint8 HxWx3."""

    name: str
    shots: tuple[tuple[NDArray[np.uint8], ...], ...]


def clips(data: Path | None) -> Iterator[Clip]:
    """The procedural scenes as one clip of three shots, then films, animation and panoramas where `data` is there."""
    yield Clip("procedural scenes", tuple(_procedural(index) for index in range(len(SCENES))))
    if data is None:
        return
    for name in VIDEOS:
        yield Clip(name, _decode(data / "clips" / name))
    for path in sorted((data / "hdr" / "polyhaven").glob("*.hdr")):
        yield Clip(path.stem, _pans(path))


def _procedural(index: int) -> tuple[NDArray[np.uint8], ...]:
    scene = SCENES[index]()
    return tuple(_codes(grade(scene.render(n / 24, *SIZE))) for n in range(WINDOW_FRAMES))


def _pans(path: Path) -> tuple[tuple[NDArray[np.uint8], ...], ...]:
    """Two slow pans over a panorama, exposed so that its median is a mid-grey and highlights clip."""
    light = np.asarray(cv2.imread(os.fspath(path), cv2.IMREAD_UNCHANGED), np.float32)[..., ::-1]
    light = light * (0.12 / max(float(np.median(light.mean(axis=2))), 1e-6))
    signal = np.clip(light, 0, 1) ** np.float32(1 / 2.4)
    return tuple(
        tuple(_codes(signal[120:390, x + 3 * n : x + 3 * n + SIZE[0]]) for n in range(WINDOW_FRAMES))
        for x in (40, 500)
    )


def _decode(path: Path) -> tuple[tuple[NDArray[np.uint8], ...], ...]:
    """Two windows of the video, at its start and from frame 12 on."""
    with av.open(os.fspath(path)) as container:
        frames = []
        for frame in container.decode(video=0):
            rgb = frame.to_ndarray(format="rgb24")
            scale = SIZE[0] / max(rgb.shape[:2])
            size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
            frames.append(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
            if len(frames) == 12 + WINDOW_FRAMES:
                break
    return tuple(frames[:WINDOW_FRAMES]), tuple(frames[12:])


def _codes(signal: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(np.clip(signal, 0, 1) * 255).astype(np.uint8)


def to_nits(codes: NDArray[np.uint8]) -> Image:
    """A clip's frame as the judge wants its source."""
    return source_nits(codes.astype(np.float32) / 255, BT709)


def expand(model_id: str, nits: Image, peak_nits: float = 1000.0) -> Image:
    """A catalogue model behind its guards, anchored at a mid-gain of 0, on the whole tone range."""
    function = bind_guarded(model_id, None, Controls(peak_nits=peak_nits, mid_gain_ev=0.0, saturation=1.0))
    return np.asarray(function(nits.astype(np.float64) / 203.0), np.float32)


X265 = "log-level=error:pools=1:colorprim=9:transfer=16:colormatrix=9:range=limited:hdr10-opt=1"


def coded(frames: list[Image], crf: int = 18) -> list[Image]:
    """The frames after a real encoder: x265, Main10 4:2:0 PQ, and decoded again."""
    buffer = io.BytesIO()
    height, width = (size // 2 * 2 for size in frames[0].shape[:2])
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream(
            "libx265",
            rate=24,
            options={
                "crf": str(crf),
                "preset": "fast",
                "x265-params": X265,
            },
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        for nits in frames:
            signal = pq_eotf_inverse(np.maximum(nits[:height, :width], 0)).astype(np.float32)
            container.mux(stream.encode(to_yuv420(signal, "bt2020nc", 10)))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as reader:
        decoded = [_light(frame) for frame in reader.decode(video=0)]
    return [_grown(nits, frames[0].shape) for nits in decoded]


def _light(frame: av.VideoFrame) -> Image:
    """A decoded yuv420p10le frame of BT.2020 PQ in nits; chroma as it lies, topleft."""
    y, u, v = (_plane(plane) for plane in frame.planes)
    height, width = y.shape
    across, down = np.meshgrid(np.arange(width, dtype=np.float32) / 2, np.arange(height, dtype=np.float32) / 2)
    u, v = (cv2.remap(c, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for c in (u, v))
    ycbcr = np.stack([(y - 64) / 876, (u - 512) / 896, (v - 512) / 896], axis=-1)
    return output_nits(np.clip(ycbcr @ ycbcr_to_rgb_matrix("bt2020nc").T.astype(np.float32), 0, 1), "hdr10")


def _plane(plane: VideoPlane) -> Image:
    rows = np.frombuffer(memoryview(plane), "<u2").reshape(plane.height, plane.line_size // 2)
    return rows[:, : plane.width].astype(np.float32)


def _grown(nits: Image, shape: tuple[int, ...]) -> Image:
    """Back to an odd size by repeating the last row or column."""
    return np.pad(nits, ((0, shape[0] - nits.shape[0]), (0, shape[1] - nits.shape[1]), (0, 0)), mode="edge")


def exposure(output: Image, shot: int, frame: int, stops: float) -> Image:
    """Everything brighter or darker."""
    return output * np.float32(2**stops)


def hue(output: Image, shot: int, frame: int, degrees: float) -> Image:
    """Colours turned about the grey axis."""
    axis = np.full(3, np.radians(degrees) / np.sqrt(3))
    return np.maximum(mix(output, np.asarray(cv2.Rodrigues(axis)[0], np.float64)), 0)


def crush(output: Image, shot: int, frame: int, nits: float) -> Image:
    """Black subtracted."""
    y = luminance(output)
    return np.asarray(output * (np.maximum(y - nits, 0) / np.maximum(y, 1e-6))[..., None], np.float32)


def clip(output: Image, shot: int, frame: int, nits: float) -> Image:
    """A hard ceiling."""
    return np.minimum(output, np.float32(nits))


def grain(output: Image, shot: int, frame: int, codes: float) -> Image:
    """Noise added, in ten-bit PQ codes at mid-grey."""
    noise = np.random.default_rng(1000 * shot + frame).normal(0, codes / 876, output.shape[:2]).astype(np.float32)
    return pq_eotf(np.clip(pq_eotf_inverse(output) + noise[..., None], 0, 1)).astype(np.float32)


def flicker(output: Image, shot: int, frame: int, share: float) -> Image:
    """Gain alternating by +- this share from frame to frame."""
    return output * np.float32(1 + share * (-1) ** frame)


def tile_flicker(output: Image, shot: int, frame: int, share: float) -> Image:
    """The same in the middle of the picture only."""
    height, width = output.shape[:2]
    damaged = output.copy()
    damaged[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] *= np.float32(1 + share * (-1) ** frame)
    return damaged


def jump(output: Image, shot: int, frame: int, stops: float) -> Image:
    """Every second shot brighter."""
    return output * np.float32(2 ** (stops * (shot % 2)))


def saturate(output: Image, shot: int, frame: int, factor: float) -> Image:
    """Chroma multiplied in BT.2020, negative light cut."""
    return np.maximum(negative(output, shot, frame, factor), 0)


def negative(output: Image, shot: int, frame: int, factor: float) -> Image:
    """Chroma multiplied, negative light left in: colours that no BT.2020 signal holds."""
    y = luminance(output)[..., None]
    return (y + factor * (output - y)).astype(np.float32)


def shuffle(output: Image, shot: int, frame: int, nits: float) -> Image:
    """A blotch of light over the picture, as a network that invents would leave."""
    height, width = output.shape[:2]
    x, y = np.meshgrid(np.linspace(0, 9, width), np.linspace(0, 5, height))
    blotches = np.maximum(np.sin(x) * np.sin(y), 0)
    return (output + nits * blotches[..., None]).astype(np.float32)
