"""Samples through DLPack and the torch LUT, on the CPU: the path of a GPU without one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.gpu import frames
from toolchain.gpu.frames import nvenc, tensor_frame, video_frame
from toolchain.gpu.lut import TorchLut
from toolchain.kernel import FrameSpec, apply
from toolchain.lut import OutputFormat, bake
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from toolchain.video.facts import ColorInterpretation

TICK = Fraction(1, 1000)


@pytest.mark.parametrize(("name", "planar", "bits"), [("nv12", "yuv420p", 8), ("p010le", "yuv420p10le", 10)])
def test_planes_of_a_frame_become_codes(name: str, planar: str, bits: int) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 2**bits, (12, 16))
    samples = codes.astype(np.uint8) if bits == 8 else codes.astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(samples, format=planar)
    found = tensor_frame(frame.reformat(format=name))
    assert found.bit_depth == bits
    assert np.array_equal(found.planes[0].numpy(), codes[:8])
    assert np.array_equal(found.planes[1].numpy().ravel(), codes[8:10].ravel())
    assert np.array_equal(found.planes[2].numpy().ravel(), codes[10:].ravel())


def test_codes_become_a_frame_and_come_back() -> None:
    shapes = ((8, 16), (4, 8), (4, 8))
    planes = tuple(torch.randint(4, 1020, shape).to(torch.uint16) for shape in shapes)
    frame = video_frame(planes, 41, TICK)
    assert (frame.format.name, frame.width, frame.height, frame.pts, frame.time_base) == ("p010le", 16, 8, 41, TICK)
    back = tensor_frame(frame)
    assert all(torch.equal(a.to(torch.int32), b) for a, b in zip(planes, back.planes, strict=True))
    assert (back.pts, back.time_base) == (41, TICK)


def test_decoded_frames_through_the_torch_lut_equal_the_kernels(sample_clip: Path) -> None:
    color = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
    spec = FrameSpec(320, 180, 8, "4:2:0", color, OutputFormat())
    lut = bake(bind_guarded("bt2446a", None, Controls()), color, spec.output, 17)
    torch_lut = TorchLut(spec, lut, "cpu")
    with av.open(str(sample_clip)) as container:
        for number, frame in zip(range(3), container.decode(video=0), strict=False):
            found = video_frame(torch_lut.apply(tensor_frame(frame.reformat(format="nv12")).planes), number, TICK)
            planar = frame.to_ndarray(format="yuv420p").ravel()
            sources = (planar[: 180 * 320], planar[180 * 320 : 225 * 320], planar[225 * 320 :])
            planes = tuple(p.reshape(shape) for p, shape in zip(sources, spec.input_shapes, strict=True))
            wanted = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
            apply(planes, wanted, spec, lut)
            for a, b in zip(tensor_frame(found).planes, wanted, strict=True):
                assert np.abs(a.numpy() - b.astype(np.int32)).max() <= 1


def test_what_the_path_does_not_take_is_refused() -> None:
    with pytest.raises(EnvironmentNotReady, match="use the CPU"):
        tensor_frame(av.VideoFrame(16, 8, "yuv444p"))
    with pytest.raises(EnvironmentNotReady, match="15x8"):
        tensor_frame(av.VideoFrame(15, 8, "nv12"))
    with pytest.raises(UsageError, match="even sizes"):
        video_frame((torch.zeros(7, 16), torch.zeros(4, 8), torch.zeros(4, 8)), 0, TICK)


def test_without_a_gpu_the_reason_is_said(monkeypatch: pytest.MonkeyPatch, sample_clip: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA GPU" in frames.available().reason
    with pytest.raises(EnvironmentNotReady, match="no CUDA GPU"):
        next(frames.decode(sample_clip))


@pytest.mark.skipif(torch.cuda.is_available(), reason="tests what happens without a GPU")
def test_a_decoder_that_does_not_open_is_an_environment_error(
    monkeypatch: pytest.MonkeyPatch, sample_clip: Path
) -> None:
    """FFmpeg itself is asked here for a device that is not there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "none")
    with pytest.raises(EnvironmentNotReady, match="cannot be decoded on the GPU"):
        next(frames.decode(sample_clip))


def test_the_encoder_takes_frames_of_the_gpu() -> None:
    context = nvenc(1920, 1080, TICK, Fraction(24))
    assert (context.name, context.pix_fmt, context.width, context.height) == ("hevc_nvenc", "cuda", 1920, 1080)
