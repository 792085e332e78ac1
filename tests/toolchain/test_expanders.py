"""Whole-picture expansion gives what the fused kernel gives, and mixes shots and graphics as it does."""

from __future__ import annotations

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.expanders import PictureExpander, TableExpander
from toolchain.kernel import FrameSpec
from toolchain.lut import OutputFormat, bake
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls, PixelFunction
from toolchain.video.facts import ColorInterpretation
from toolchain.video.shots import Shot

COLOR = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
SHOTS = [
    Shot(index=0, start_frame=0, end_frame=50, hard_cut=True, key_frames=(0,)),
    Shot(index=1, start_frame=50, end_frame=100, hard_cut=False, key_frames=(50,)),
]
MASK = np.zeros((3, 4), np.float32)
MASK[1, 1:3] = 1.0


def picture(width: int, height: int, pix_fmt: str) -> av.VideoFrame:
    """Smooth colours, as codecs deliver them: no LUT cell is crossed by noise."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    rgb = np.stack([x, y, 1 - x], axis=-1) * 235 + 10
    return av.VideoFrame.from_ndarray(rgb.astype(np.uint8), "rgb24").reformat(
        format=pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG"
    )


def planes_of(expander: TableExpander | PictureExpander, number: int, frame: av.VideoFrame, spec: FrameSpec):
    out = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    expander.at(number)(frame, out, spec)
    return out


def expanders(spec: FrameSpec, mask: NDArray[np.float32] | None) -> tuple[TableExpander, PictureExpander]:
    models: dict[int, PixelFunction] = {
        0: bind_guarded("bt2446c", None, Controls()),
        1: bind_guarded("direct203", None, Controls()),
    }
    nothing = bind_guarded("direct203", None, Controls())

    def baked(shot: Shot):
        return bake(models[shot.index], spec.color, spec.output, 65)

    table = TableExpander(SHOTS, 25.0, baked, lambda _: mask, bake(nothing, spec.color, spec.output, 65))
    whole = PictureExpander(SHOTS, 25.0, lambda shot: models[shot.index], lambda _: mask, nothing)
    return table, whole


@pytest.mark.parametrize(("width", "height"), [(64, 48), (63, 47)])
@pytest.mark.parametrize("chroma", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("number", [10, 45, 55])
def test_whole_pictures_agree_with_the_fused_kernel(width: int, height: int, chroma, number: int) -> None:
    pix_fmt = {"4:2:0": "yuv420p", "4:2:2": "yuv422p", "4:4:4": "yuv444p"}[chroma]
    spec = FrameSpec(width, height, 8, chroma, COLOR, OutputFormat(chroma=chroma))
    frame = picture(width, height, pix_fmt)
    table, whole = expanders(spec, MASK)
    for fused, exact in zip(
        planes_of(table, number, frame, spec), planes_of(whole, number, frame, spec), strict=True
    ):
        difference = np.abs(fused.astype(int) - exact.astype(int))
        assert difference.max() <= 3
        assert difference.mean() < 0.3


def test_graphics_are_left_at_reference_white() -> None:
    spec = FrameSpec(64, 48, 8, "4:2:0", COLOR, OutputFormat())
    frame = picture(64, 48, "yuv420p")
    _, masked = expanders(spec, np.ones((3, 4), np.float32))
    _, plain = expanders(spec, None)
    nothing = planes_of(plain, 99, frame, spec)[0]
    assert np.array_equal(planes_of(masked, 10, frame, spec)[0], nothing)
    assert not np.array_equal(planes_of(plain, 10, frame, spec)[0], nothing)
