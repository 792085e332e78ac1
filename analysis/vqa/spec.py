"""What a judge takes in and answers to: frame pairs, limits, controls."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolchain.color.primaries import convert
from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf, hlg_eotf, pq_eotf
from toolchain.errors import AgentError, UsageError
from toolchain.models.spec import Controls
from toolchain.video.facts import ColorInterpretation

Image = NDArray[np.float32]
Stage = Literal["pilot", "verify"]
HdrFormat = Literal["hdr10", "hlg"]

DO_NOTHING = "direct203"
"""The model that is doing nothing, which every other one is measured against."""


@dataclass(frozen=True)
class FramePair:
    """One source frame and what became of it, at working size (about 480x270 to 640x360, same for both).

    `shot` and `window` say where it stands: frames of one window follow each other without a gap, and are given in
    rising order of `number`, the source frame number. `source_nits` and `output_nits` are float32 HxWx3 BT.2020
    display light; SDR white is 203 nits. `graphics_mask` is float32 HxW in [0, 1]; all zero says that a detector ran
    and found nothing, None that none ran. `glance`: only the judging network looks at this pair; it wants more frames
    in a row than need measuring.
    """

    shot: int
    window: int
    number: int
    source_nits: Image
    output_nits: Image
    graphics_mask: Image | None = None
    glance: bool = False

    def __post_init__(self) -> None:
        shape = self.source_nits.shape
        if len(shape) != 3 or shape[2] != 3 or min(shape[:2]) < 1 or self.output_nits.shape != shape:
            raise AgentError(
                f"Frame {self.number}: source {shape} and output {self.output_nits.shape} cannot be compared; "
                "both must be HxWx3 of the same size."
            )
        if self.graphics_mask is not None and self.graphics_mask.shape != shape[:2]:
            raise AgentError(
                f"Frame {self.number}: the graphics mask is {self.graphics_mask.shape}; it must be {shape[:2]}."
            )


class JudgeControls(BaseModel):
    """What the result was asked to be: the `peak_nits` and `mid_gain_ev` that drove the model (`judge_controls`).

    `mid_gain_ev` None (a model left at its own mid-tones) has no exposure to be held to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    peak_nits: float = Field(default=1000.0, ge=203.0, le=10000.0)
    mid_gain_ev: float | None = Field(default=0.0, ge=-2.0, le=2.0)
    single_frame: bool = Field(default=False, description="the video is one frame: there is no time to flicker over")
    structure: bool = Field(default=False, description="ColorVideoVDP is asked for")


def judge_controls(
    model_id: str, controls: Controls, single_frame: bool = False, structure: bool = False
) -> JudgeControls:
    """What a model driven by `controls` is held to. Doing nothing takes no exposure, so it is held to none."""
    mid_gain_ev = 0.0 if model_id == DO_NOTHING else controls.mid_gain_ev
    return JudgeControls(
        peak_nits=controls.peak_nits, mid_gain_ev=mid_gain_ev, single_frame=single_frame, structure=structure
    )


class Calibration(BaseModel):
    """The run of benchmarks/calibrate_gates.py that a file's limits come from; it prints this block.

    Percentages are of calibration clips and of clips that were held out, by those names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    date: str
    version: str
    commit: str
    encoders: tuple[str, ...]
    clips: dict[str, int]
    clips_sha256: str = Field(description="of the list of clips and which are held out, first 16 digits")
    values_sha256: str = Field(description="of every value that was measured, first 16 digits")
    false_alarm_percent: dict[str, float] = Field(description="of (good result, gate) pairs, those where it fails")
    good_results_rejected_percent: dict[str, float] = Field(description="by any gate")
    medium_caught_by_own_gate_percent: dict[str, float]
    medium_caught_percent: dict[str, float] = Field(description="of damage of medium strength, by any gate")


class Limits(BaseModel):
    """The worst value each gate lets pass, named as the gate; unit and better side stand in the registry.

    The two noises are the gain metrics' own, from test and retest: a gain below it is no gain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fidelity_median: float = Field(gt=0)
    fidelity_p95: float = Field(gt=0)
    unevenness: float = Field(gt=0)
    exposure: float = Field(gt=0)
    clipping: float = Field(gt=0)
    crushing: float = Field(gt=0)
    noise: float = Field(gt=0)
    sharpness: float = Field(gt=0)
    ringing: float = Field(gt=0)
    banding: float = Field(gt=0)
    contours: float = Field(gt=0)
    structure: float = Field(ge=0, le=10)
    structure_vmaf: float = Field(ge=0, le=100)
    flicker: float = Field(gt=0)
    flicker_tile: float = Field(gt=0)
    shot_jump: float = Field(gt=0)
    hue_median: float = Field(gt=0)
    hue_p95: float = Field(gt=0)
    skin: float = Field(gt=0)
    gamut: float = Field(ge=0)
    gamut_p3: float = Field(gt=0)
    graphics: float = Field(gt=0)
    harm: float = Field(gt=0, le=100)
    selection_noise: float = Field(ge=0)
    acceptance_noise: float = Field(ge=0)
    calibration: Calibration | None = Field(default=None, description="the run that these limits come from")


def load_limits(path: Path | None = None) -> Limits:
    """The limits in a YAML file; None reads the ones that come with the program (configs/gates/default.yaml).

    Raises UsageError where the file cannot be read or lacks, misnames or misstates a limit.
    """
    try:
        if path is None:
            text = (resources.files("configs") / "gates" / "default.yaml").read_text("utf-8")
        else:
            text = path.read_text("utf-8")
        return Limits.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"])) or "the file"
        raise UsageError(_unusable(path, f"{place}: {found['msg']}")) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(_unusable(path, str(error))) from error


def _unusable(path: Path | None, why: str) -> str:
    return f"Gate limits in {path or 'the package'} cannot be used ({' '.join(why.split())}): see configs/gates"


def source_nits(rgb_signal: NDArray[np.floating], color: ColorInterpretation) -> Image:
    """The source's reference display: gamma-coded R'G'B' (1.0 = white) to BT.2020 nits, float32, white at 203.

    Super-white stays above 203; light that BT.2020 cannot show is cut at 0. Rec. ITU-R BT.1886, BT.2408-7, BT.2087.
    """
    light = bt1886_eotf(np.asarray(rgb_signal, np.float32), REFERENCE_WHITE_NITS)
    return np.maximum(convert(light, color.primaries, "bt2020"), 0).astype(np.float32, copy=False)


def output_nits(rgb_signal: NDArray[np.floating], hdr_format: HdrFormat) -> Image:
    """A decoded PQ (`hdr10`) or HLG (1000-nit display) BT.2020 R'G'B' signal in [0, 1] to nits, float32, <= 10000."""
    signal = np.asarray(rgb_signal, np.float32)
    if hdr_format == "hdr10":
        return pq_eotf(signal).astype(np.float32, copy=False)
    return np.minimum(hlg_eotf(signal), 10000).astype(np.float32, copy=False)
