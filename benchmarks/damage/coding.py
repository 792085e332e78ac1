"""Results through a real encoder and back, as a file that is verified would be."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Literal, cast

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from av.video.stream import VideoStream

from analysis.vqa.spec import Image, output_nits
from toolchain.color.transfer import pq_eotf_inverse
from toolchain.color.ycbcr import ycbcr_to_rgb_matrix
from training.data.frames import to_yuv420

Encoder = Literal["x265", "svtav1", "x265-crf12"]
FRAME_RATE = 24
X265 = "log-level=error:pools=1:colorprim=9:transfer=16:colormatrix=9:range=limited:hdr10-opt=1"
SETTINGS: dict[Encoder, tuple[str, dict[str, str]]] = {
    "x265": ("libx265", {"crf": "18", "preset": "medium", "x265-params": X265}),
    "svtav1": ("libsvtav1", {"crf": "25", "preset": "8", "svtav1-params": "lp=1"}),
    "x265-crf12": ("libx265", {"crf": "12", "preset": "medium", "x265-params": X265}),
}
"""The first two are those of the profile `balanced`. At these small sizes they take away most of any noise, so damage
goes through the third: what a viewer is to see has to reach the screen."""


def encode(frames: list[Image], encoder: Encoder) -> bytes:
    """BT.2020 nits of equal, even size as Main10 4:2:0 PQ video in Matroska."""
    codec, options = SETTINGS[encoder]
    height, width = frames[0].shape[:2]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=FRAME_RATE, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        for number, nits in enumerate(frames):
            frame = to_yuv420(pq_eotf_inverse(np.maximum(nits, 0)).astype(np.float32), "bt2020nc", 10)
            frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def decode(video: bytes) -> list[Image]:
    """The frames of such a video in BT.2020 nits."""
    with av.open(io.BytesIO(video), "r") as reader:
        return [_light(frame) for frame in reader.decode(video=0)]


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
