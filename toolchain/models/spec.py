"""What a selector and a runtime need to know of a model, and the contract a pointwise model fulfils."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

FloatArray = NDArray[np.floating]
PixelFunction = Callable[[FloatArray], FloatArray]
"""(..., 3) display-linear BT.2020 R, G, B with 1.0 = SDR reference white -> (..., 3) BT.2020 R, G, B in nits."""


RuntimeName = Literal["tensorrt", "onnxruntime-cuda", "torch-cuda", "openvino", "onnxruntime", "torch"]
"""What networks can run on, in the order in which they are tried."""
RUNTIME_ORDER: tuple[RuntimeName, ...] = get_args(RuntimeName)


CostClass = Literal["free", "light", "medium", "heavy"]
COST_ORDER: tuple[CostClass, ...] = get_args(CostClass)


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ParameterSpec(_Spec):
    """One number a model understands, with its default and its allowed closed range."""

    default: float
    minimum: float
    maximum: float
    unit: str = ""
    help: str


class WeightsSpec(_Spec):
    """Where a model's weights come from and what they may be used for.

    Shipped weights name their `file` in the package toolchain.models.shipped and no `url`; published ones are
    fetched by `agent models pull` (`file`: their name there).
    """

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="file name, without a folder")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(gt=0)
    url: str | None = Field(default=None, pattern=r"^https://")
    credit: str = Field(description="who made them, and where they are described")

    @property
    def shipped(self) -> bool:
        return self.url is None


class ModelSpec(_Spec):
    """One catalogue entry, read from configs/models/<id>.yaml."""

    id: str
    title: str
    task: Literal["sdr2hdr", "restore"]
    source: str = Field(description="the standard with edition and section, or the paper")
    licence: str
    pointwise: bool = Field(description="each output pixel depends on its own input pixel (and the shot's numbers)")
    adaptive: bool = Field(default=False, description="bound to a shot's statistics")
    cost_class: CostClass
    suits: tuple[str, ...] = Field(
        default=(), description="kinds of content it suits, for the planner and for people"
    )
    parameters: dict[str, ParameterSpec] = {}
    filters: tuple[str, ...] = Field(
        default=(), description="restore only: FFmpeg filter with options, {name} = parameter"
    )
    weights: WeightsSpec | None = Field(default=None, description="networks only")
    size_multiple: int = Field(default=1, ge=1, description="heights and widths are padded to it")
    tiling: bool = Field(default=True, description="tiles with an overlap give the same picture as the whole")
    overlap_px: int = Field(default=0, ge=0, description="how far a pixel's surround reaches, for tiles")
    precisions: tuple[Literal["fp32", "fp16", "bf16"], ...] = ("fp32",)
    temporal_frames: int = Field(default=1, ge=1, description="frames one output frame is made of")
    input: str = Field(default="display-linear BT.2020, 1.0 = SDR white", description="transfer, primaries, range")
    output: str = Field(default="BT.2020 R, G, B in nits", description="transfer, primaries, range")


class Controls(_Spec):
    """How an expanding model is driven.

    `mid_gain_ev` 0 anchors mid-tones at the SDR picture shown at 203-nit white (BT.2408); None leaves the model's
    own mid-tones, e.g. BT.2446 exactly as published. `peak_nits` bounds every output component. `runtime`: where a
    network runs; None takes the first that works.
    """

    peak_nits: float = Field(default=1000.0, ge=203.0, le=10000.0)
    mid_gain_ev: float | None = Field(default=0.0, ge=-2.0, le=2.0)
    saturation: float = Field(default=1.0, ge=0.0, le=2.0)
    runtime: RuntimeName | None = None
    extra: dict[str, float] = {}


class ShotTone(_Spec):
    """Luminance statistics of one shot, the input of adaptive models.

    `histogram`: share of pixels (sums to 1) over 256 equal bins of Y', the gamma-coded luma signal in [0, 1].
    """

    histogram: tuple[float, ...]

    def percentile(self, percent: float) -> float:
        """Y' (bin centre) below which `percent` % of the shot's pixels lie."""
        cumulative = np.cumsum(self.histogram)
        return float((np.searchsorted(cumulative, percent / 100.0 * cumulative[-1]) + 0.5) / len(self.histogram))


Picture = NDArray[np.float32]
"""HxWx3, float32: one picture in display-linear BT.2020, 1.0 = SDR white."""


@dataclass(frozen=True, eq=False)
class ShotContext:
    """What a model may know of the shot it is bound to.

    `pictures`: key frames, display-linear BT.2020 (1.0 = SDR white), longer side at most 480; `full_size`: (height,
    width) of the frames they were made of.
    """

    tone: ShotTone
    pictures: tuple[Picture, ...] = ()
    full_size: tuple[int, int] = (1080, 1920)


class PointwiseModel(Protocol):
    """A model whose output pixel depends on its input pixel and on numbers held over the shot."""

    @property
    def spec(self) -> ModelSpec: ...

    def bind(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        """Fix the shot and the controls. `shot` None: the whole range is in use. The result must accept any
        finite input >= 0, in float64, and is not yet guarded (see toolchain.models.guards)."""
        ...
