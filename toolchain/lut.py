"""Any pointwise model as a 3D table: from the SDR signal straight to the encoder's Y'CbCr codes.

The way of a pixel, exactly (`exact`) or through the table (`bake`, applied by `toolchain.kernel`):

    SDR R'G'B' signal -> BT.1886 light -> BT.2020 primaries -> the model: nits -> PQ or HLG -> Y'CbCr codes

The table's axes are the square root of the signal: that puts grid points where PQ bends and costs one instruction.
Y'CbCr is linear in R'G'B', so interpolating codes equals converting interpolated R'G'B'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from toolchain.color.primaries import convert
from toolchain.color.transfer import bt1886_eotf, hlg_eotf_inverse, pq_eotf_inverse
from toolchain.color.ycbcr import code_range, rgb_to_ycbcr_matrix
from toolchain.errors import UsageError
from toolchain.models.spec import FloatArray, PixelFunction
from toolchain.video.facts import ColorInterpretation

Transfer = Literal["pq", "hlg"]
OutputChroma = Literal["4:2:0", "4:2:2", "4:4:4"]

DOMAIN_MAX = 1.1
"""Largest R'G'B' signal kept: the limited range ends at 109.1 % and cameras do use it.

At size 65 white lies 2 % of a cell from a grid point. That matters: models bend there, and a bend in the middle of a
cell is cut short.
"""

_STILL_ROWS = 64
"""Rows of a still worked on at a time: bounds the float64 intermediates."""


class OutputFormat(BaseModel):
    """What the encoder takes: BT.2020 non-constant luminance, limited range, `bit_depth`-bit codes in uint16."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transfer: Transfer = "pq"
    bit_depth: Literal[10, 12] = 10
    chroma: OutputChroma = "4:2:0"
    hlg_peak_nits: float = Field(default=1000.0, gt=0.0, le=10000.0, description="nominal peak of the HLG display")


@dataclass(frozen=True, eq=False)
class Lut3d:
    """Output codes over a grid of input signals.

    `table`: float32, C-contiguous (size**3, 4), row (r * size + g) * size + b; columns Y', Cb, Cr as `bit_depth`-bit
    codes, finite and legal (never the codes reserved for synchronisation), and one of zeros, so that a row is 16
    bytes. Grid point i of an axis stands for the signal domain_max * (i / (size - 1))**2.
    """

    table: NDArray[np.float32]
    size: int
    domain_max: float = DOMAIN_MAX
    bit_depth: int = 10

    def __post_init__(self) -> None:
        if self.table.shape != (self.size**3, 4) or self.table.dtype != np.float32 or self.size < 2:
            raise UsageError(
                f"A LUT table of {self.table.dtype} {self.table.shape} does not fit size {self.size}: float32 "
                f"(size**3, 4) with a size of 2 or more is allowed; make it with `bake`."
            )
        low, high = legal_codes(self.bit_depth)
        codes = self.table[:, :3]
        if not (codes.min() >= low and codes.max() <= high):  # this way round NaN is refused too
            raise UsageError(f"A LUT holds codes outside {low} to {high}: make it with `bake`, which clips.")


def legal_codes(bit_depth: int) -> tuple[int, int]:
    """First and last code a picture may use; 10 bits: 4 and 1019. Rec. ITU-R BT.2100-2, Table 9, note 9a."""
    step = 2 ** (bit_depth - 8)
    return step, 2**bit_depth - 1 - step


def bake(expand: PixelFunction, color: ColorInterpretation, output: OutputFormat, size: int = 65) -> Lut3d:
    """`exact` on a grid of `size`**3 signals of the source's own primaries.

    65 keeps every model of the catalogue, bound to its shot, within 1 ten-bit code of `exact` at the 99th percentile
    of real frames; 33 bakes eight times as fast and does so for the smooth ones only. 2 <= size <= 129, else
    UsageError.
    """
    if not 2 <= size <= 129:
        raise UsageError(f"A LUT size of {size} is not supported: 2 to 129 is; 65 is within 1 code of the model.")
    axis = DOMAIN_MAX * np.linspace(0.0, 1.0, size) ** 2
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    table = np.zeros((size**3, 4), dtype=np.float32)
    table[:, :3] = exact(grid, expand, color, output)
    return Lut3d(table, size, DOMAIN_MAX, output.bit_depth)


def exact(
    rgb_signal: FloatArray, expand: PixelFunction, color: ColorInterpretation, output: OutputFormat
) -> NDArray[np.float64]:
    """(..., 3) source R'G'B' signal, clipped to [0, 1.1] -> (..., 3) Y', Cb, Cr codes, float64, legal, unrounded."""
    nits = _expanded_nits(rgb_signal, expand, color)
    signal = _encoded(nits, output.transfer, output.hlg_peak_nits)
    ycbcr = signal @ rgb_to_ycbcr_matrix("bt2020nc").T
    y_offset, y_scale, c_offset, c_scale = code_range(output.bit_depth, "limited")
    codes = ycbcr * (y_scale, c_scale, c_scale) + (y_offset, c_offset, c_offset)
    return np.clip(codes, *legal_codes(output.bit_depth))


def expand_still(
    rgb_signal: FloatArray,
    expand: PixelFunction,
    color: ColorInterpretation,
    transfer: Transfer = "pq",
    hlg_peak_nits: float = 1000.0,
    whole: bool = False,
) -> NDArray[np.float32]:
    """HxWx3 source R'G'B' signal, clipped to [0, 1.1] -> HxWx3 PQ or HLG signal of BT.2020 R'G'B', [0, 1], no LUT.

    `whole`: `expand` looks around each pixel and is shown the picture in one piece.
    """
    still = np.empty(rgb_signal.shape, dtype=np.float32)
    step = len(still) if whole else _STILL_ROWS
    for row in range(0, len(still), step):
        rows = slice(row, row + step)
        still[rows] = _encoded(_expanded_nits(rgb_signal[rows], expand, color), transfer, hlg_peak_nits)
    return still


def blend(a: Lut3d, b: Lut3d, weight: float) -> Lut3d:
    """`a` at weight 0, `b` at 1: eases a model's numbers between shots. UsageError where the two differ in kind."""
    if (a.size, a.domain_max, a.bit_depth) != (b.size, b.domain_max, b.bit_depth):
        raise UsageError(f"LUTs of sizes {a.size} and {b.size} cannot be blended: bake both alike.")
    if not 0.0 <= weight <= 1.0:
        raise UsageError(f"A blend weight of {weight} is not allowed: 0 to 1 is.")
    table = (a.table + weight * (b.table - a.table)).astype(np.float32)
    return Lut3d(table, a.size, a.domain_max, a.bit_depth)


def _expanded_nits(rgb_signal: FloatArray, expand: PixelFunction, color: ColorInterpretation) -> FloatArray:
    """Source R'G'B' signal to the model's BT.2020 nits, float64."""
    signal = np.clip(np.asarray(rgb_signal, dtype=np.float64), 0.0, DOMAIN_MAX)
    linear = convert(bt1886_eotf(signal), color.primaries, "bt2020")
    # SDR primaries lie inside BT.2020; what is below 0 is rounding, and models promise only to accept >= 0.
    return expand(np.maximum(linear, 0.0))


def _encoded(nits: FloatArray, transfer: Transfer, hlg_peak_nits: float) -> FloatArray:
    if transfer not in get_args(Transfer):
        raise UsageError(f"Transfer {transfer!r} is not an HDR one: use pq or hlg.")
    signal = pq_eotf_inverse(nits) if transfer == "pq" else hlg_eotf_inverse(nits, hlg_peak_nits)
    return np.clip(signal, 0.0, 1.0)
