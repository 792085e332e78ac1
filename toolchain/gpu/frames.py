"""Frames between FFmpeg's CUDA decoder, torch and NVENC by DLPack, without a copy to the host.

Not run on hardware: written to the documented interface of PyAV 18.1 (HWAccel with `is_hw_owned`, DLPack planes,
`VideoFrame.from_dlpack`, an encoder with pixel format "cuda"). What is tested is the way of the samples, on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import torch
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.codeccontext import VideoCodecContext
from torch import Tensor

from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.runtimes.base import Availability
from toolchain.video.encode import url

Planes = tuple[Tensor, ...]

BITS = {"nv12": 8, "p010le": 10}
"""What NVDEC gives 4:2:0 video as; p010le holds its 10 bits at the top of 16."""


@dataclass(frozen=True, eq=False)
class TensorFrame:
    """Y', Cb, Cr codes (uint8 at 8 bits, else int32) on the device that decoded them; `pts` in `time_base`."""

    planes: Planes
    bit_depth: int
    pts: int | None
    time_base: Fraction | None


def available() -> Availability:
    """Whether video can be decoded into CUDA tensors here; the codec and the profile may still not suit the GPU."""
    if not torch.cuda.is_available():
        return Availability(False, f"torch {torch.__version__} sees no CUDA GPU")
    if "cuda" not in hwdevices_available():
        return Availability(False, f"FFmpeg in PyAV {av.__version__} is built without CUDA")
    return Availability(True, f"{torch.cuda.get_device_name()} (NVDEC by PyAV {av.__version__})")


def decode(path: Path) -> Iterator[TensorFrame]:
    """The first video stream's frames, in the order they are shown, decoded on the GPU and left there.

    Raises EnvironmentNotReady where the GPU cannot: the caller decodes on the CPU instead.
    """
    ready = available()
    if not ready.ready:
        raise EnvironmentNotReady(f"{path.name} cannot be decoded on a GPU: {ready.reason}.")
    hwaccel = HWAccel("cuda", allow_software_fallback=False, is_hw_owned=True)
    try:
        with av.open(url(path), hwaccel=hwaccel) as container:
            for frame in container.decode(video=0):
                torch.cuda.synchronize()  # PyAV hands planes over without ordering streams
                yield tensor_frame(frame)
    except (av.error.FFmpegError, NotImplementedError) as error:
        raise EnvironmentNotReady(f"{path.name} cannot be decoded on the GPU ({error}): use the CPU.") from error


def tensor_frame(frame: av.VideoFrame) -> TensorFrame:
    """The samples of an nv12 or p010le frame, where they are; EnvironmentNotReady for other formats and odd sizes."""
    name = (frame.sw_format or frame.format).name
    if name not in BITS or frame.width % 2 or frame.height % 2:
        raise EnvironmentNotReady(
            f"Frames of {name} {frame.width}x{frame.height} stay off the GPU path: use the CPU."
        )
    # The capsule, not the plane: torch would ask for an order of streams, which PyAV refuses.
    luma, chroma = (torch.from_dlpack(plane.__dlpack__()) for plane in frame.planes)
    planes = (luma, chroma[..., 0], chroma[..., 1])
    if BITS[name] > 8:
        planes = tuple(plane.to(torch.int32) >> 6 for plane in planes)
    return TensorFrame(planes, BITS[name], frame.pts, frame.time_base)


def video_frame(planes: Planes, pts: int, time_base: Fraction) -> av.VideoFrame:
    """A p010le frame of 10-bit 4:2:0 codes (as TorchLut gives them), on the planes' device; even sizes only."""
    luma, blue, red = planes
    if (2 * blue.shape[0], 2 * blue.shape[1]) != tuple(luma.shape) or blue.shape != red.shape:
        raise UsageError(f"Planes of {[tuple(p.shape) for p in planes]} make no 4:2:0 frame: even sizes are needed.")
    high = [(plane.to(torch.int32) << 6).to(torch.uint16) for plane in (luma, torch.stack((blue, red), dim=-1))]
    if luma.is_cuda:
        torch.cuda.current_stream().synchronize()
    frame = av.VideoFrame.from_dlpack(tuple(high), format="p010le")
    frame.pts, frame.time_base = pts, time_base
    return frame


def nvenc(width: int, height: int, time_base: Fraction, rate: Fraction, quality: int = 20) -> VideoCodecContext:
    """An HEVC Main10 encoder that takes `video_frame`s from the GPU; it opens at the first one, or refuses then."""
    context = cast(VideoCodecContext, av.CodecContext.create("hevc_nvenc", "w"))
    context.width, context.height = width, height
    context.time_base, context.framerate = time_base, rate
    context.pix_fmt = "cuda"
    context.options = {"preset": "p5", "rc": "constqp", "qp": str(quality), "profile": "main10"}
    return context
