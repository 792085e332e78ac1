"""What a selector and a runtime need to know of a model, and the contract a pointwise model fulfils."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

FloatArray = NDArray[np.floating]
PixelFunction = Callable[[FloatArray], FloatArray]
"""(..., 3) display-linear BT.2020 R, G, B with 1.0 = SDR reference white -> (..., 3) BT.2020 R, G, B in nits."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ParameterSpec(_Spec):
    """One number a model understands, with its default and its allowed closed range."""

    default: float
    minimum: float
    maximum: float
    unit: str = ""
    help: str


class ModelSpec(_Spec):
    """One catalogue entry, read from configs/models/<id>.yaml."""

    id: str
    title: str
    task: Literal["sdr2hdr", "restore"]
    source: str = Field(description="the standard with edition and section, or the paper")
    licence: str
    pointwise: bool = Field(description="each output pixel depends on its own input pixel (and the shot's numbers)")
    adaptive: bool = Field(default=False, description="bound to a shot's statistics")
    cost_class: Literal["free", "light", "medium", "heavy"]
    suits: tuple[str, ...] = Field(
        default=(), description="kinds of content it suits, for the planner and for people"
    )
    parameters: dict[str, ParameterSpec] = {}
    filters: tuple[str, ...] = Field(
        default=(), description="restore only: FFmpeg filter with options, {name} = parameter"
    )


class Controls(_Spec):
    """How an expanding model is driven.

    `mid_gain_ev` 0 anchors mid-tones at the SDR picture shown at 203-nit white (BT.2408); None leaves the model's
    own mid-tones, e.g. BT.2446 exactly as published. `peak_nits` bounds every output component.
    """

    peak_nits: float = Field(default=1000.0, ge=203.0, le=10000.0)
    mid_gain_ev: float | None = Field(default=0.0, ge=-2.0, le=2.0)
    saturation: float = Field(default=1.0, ge=0.0, le=2.0)
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


class PointwiseModel(Protocol):
    """A model whose output pixel depends on its input pixel and on numbers held over the shot."""

    @property
    def spec(self) -> ModelSpec: ...

    def bind(self, tone: ShotTone | None, controls: Controls) -> PixelFunction:
        """Fix the shot and the controls. `tone` None: the whole range is in use. The result must accept any
        finite input >= 0, in float64, and is not yet guarded (see toolchain.models.guards)."""
        ...
