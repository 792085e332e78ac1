"""Structure, by a model of human vision: ColorVideoVDP of the down-mapped result against its source, in JOD.

R. Mantiuk et al., ColorVideoVDP, ACM Trans. Graph. 43 (2024). 10 JOD: no difference is seen; one JOD less: three of
four viewers prefer the other. The package is the optional extra `cvvdp` and needs no network. It imports torchvision
for two classes; where torchvision is missing, a stand-in takes its place during the import.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from analysis.schema import GateResult
from analysis.vqa.display import DISPLAY_PEAK_NITS
from analysis.vqa.metric import MetricSpec
from analysis.vqa.pooling import nothing_measured, pooled
from analysis.vqa.spec import Image, JudgeControls
from analysis.vqa.view import View
from toolchain.errors import EnvironmentNotReady

INSTALL = "install sdr2hdr-agent[cvvdp]"
NOT_ASKED = "not asked for: it takes seconds; pass --structure, or choose a profile that asks"
CLIP_FRAMES = 4
MAX_CLIPS = 6
"""At most 24 frames of a file: the first four of six windows."""

FRAMES_PER_S = 24.0
MIN_SIDE = 16
"""Smaller pictures leave the metric's pyramid no band."""

DIAGONAL_INCHES, DISTANCE_M, AMBIENT_LUX, CONTRAST = 30.0, 0.7472, 10.0, 1_000_000
"""The package's own "standard_hdr" viewing: a 30-inch screen at two heights in a dim room; the picture fills it."""


def available() -> str:
    """Empty where ColorVideoVDP can be imported, else the reason it cannot."""
    try:
        _package()
    except EnvironmentNotReady as error:
        return str(error)
    return ""


def jod(test_rgb_nits: Image, reference_rgb_nits: Image, fps: float = FRAMES_PER_S) -> float:
    """ColorVideoVDP of a clip: N x H x W x 3 in BT.2020 nits against the same of its reference; at most 10.

    Light beyond 1000 nits is shown as 1000, what is not finite as black. Runs on the CPU with torch's threads as
    they are. Raises EnvironmentNotReady where the package is missing or the picture is below MIN_SIDE.
    """
    height, width = test_rgb_nits.shape[1:3]
    if min(height, width) < MIN_SIDE:
        raise EnvironmentNotReady(f"ColorVideoVDP needs {MIN_SIDE} pixels a side; the picture is {width}x{height}")
    import torch

    clips = (_shown(test_rgb_nits), _shown(reference_rgb_nits))
    rate = fps if len(test_rgb_nits) > 1 else 0
    with torch.no_grad():
        value, _ = _metric(width, height).predict(*clips, dim_order="FHWC", frames_per_second=rate)
    return float(value)


def _shown(rgb_nits: Image) -> Image:
    light = np.nan_to_num(np.asarray(rgb_nits, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(light, 0, DISPLAY_PEAK_NITS)


@lru_cache(maxsize=2)
def _metric(width: int, height: int) -> Any:
    import torch

    package = _package()
    screen = package.vvdp_display_photo_eotf(
        DISPLAY_PEAK_NITS, CONTRAST, source_colorspace="BT.2020-linear", E_ambient=AMBIENT_LUX
    )
    place = package.vvdp_display_geometry(
        (width, height), distance_m=DISTANCE_M, diagonal_size_inches=DIAGONAL_INCHES
    )
    return package.cvvdp(display_photometry=screen, display_geometry=place, quiet=True, device=torch.device("cpu"))


@lru_cache(maxsize=1)
def _package() -> Any:
    if importlib.util.find_spec("pycvvdp") is None:
        raise EnvironmentNotReady(INSTALL)
    path = list(sys.path)
    try:
        with _torchvision():
            return importlib.import_module("pycvvdp")
    except ImportError as error:
        raise EnvironmentNotReady(f"ColorVideoVDP cannot be imported ({error}): {INSTALL}") from error
    finally:
        # The package appends its own folder, which holds modules named `utils` and `interp`.
        sys.path[:] = path


@contextmanager
def _torchvision() -> Iterator[None]:
    """torchvision for the time of an import: its own, or the two classes that ColorVideoVDP asks it for."""
    if importlib.util.find_spec("torchvision") is not None:
        yield
        return
    names = ("torchvision", "torchvision.transforms", "torchvision.ops")
    modules = {name: types.ModuleType(name) for name in names}
    setattr(modules["torchvision.transforms"], "GaussianBlur", _blur_class())  # noqa: B010 - a module has no such field
    setattr(modules["torchvision.ops"], "MLP", type("MLP", (), {}))  # noqa: B010 - for networks that are not used here
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _blur_class() -> type:
    import torch
    from torch.nn import functional

    class GaussianBlur(torch.nn.Module):
        """torchvision.transforms.GaussianBlur with one sigma: a separable window, mirrored at the edges."""

        def __init__(self, kernel_size: int, sigma: float):
            super().__init__()
            half = (kernel_size - 1) / 2
            window = torch.exp(-0.5 * (torch.linspace(-half, half, kernel_size) / sigma) ** 2)
            self.window = window / window.sum()

        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            margin = len(self.window) // 2
            channels = picture.shape[-3]
            across = self.window.to(picture).view(1, 1, 1, -1).expand(channels, 1, 1, -1)
            padded = functional.pad(picture, [margin] * 4, mode="reflect")
            blurred = functional.conv2d(padded, across, groups=channels)
            return functional.conv2d(blurred, across.transpose(-1, -2), groups=channels)

    return GaussianBlur


def down_mapped(view: View) -> Image:
    """The output at the source's tones (`View.tones`), chromaticities untouched, BT.2020 nits HxWx3."""
    gain = view.tones.back(view.output_y) / np.maximum(view.output_y, np.float32(1e-4))
    return np.asarray(view.output * gain[..., None], np.float32)


@dataclass
class StructureGate:
    """JOD of the first frames of the first windows; the worst shot decides. Memory holds one clip a window.

    Without the package it is not measured and says what to install.
    """

    spec: MetricSpec
    limit: float
    _clips: dict[tuple[int, int], list[tuple[Image, Image]]] = field(default_factory=dict)
    _first: dict[tuple[int, int], int] = field(default_factory=dict)
    _values: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    _missing: str | None = None

    def __post_init__(self) -> None:
        self.name = self.spec.name

    def add(self, view: View) -> None:
        if self._missing is None:
            self._missing = available()
        key = (view.shot, view.window)
        known = key in self._first
        if self._missing or (not known and len(self._first) >= MAX_CLIPS) or (known and key not in self._clips):
            return
        self._first.setdefault(key, view.number)
        clip = self._clips.setdefault(key, [])
        clip.append((down_mapped(view), view.source))
        if len(clip) == CLIP_FRAMES:
            self._measure(key)

    def result(self) -> GateResult:
        for key in list(self._clips):
            self._measure(key)
        if not self._values:
            missing = (self._missing,) if self._missing else ()
            return nothing_measured(self.name, self.spec.unit, self.limit, "", *missing, direction="higher")
        return pooled(self.name, self.spec.unit, self._values, self.limit, "", "higher")

    def _measure(self, key: tuple[int, int]) -> None:
        outputs, sources = zip(*self._clips.pop(key), strict=True)
        try:
            value = jod(np.stack(outputs), np.stack(sources))
        except EnvironmentNotReady as error:
            self._missing = str(error)
            return
        self._values.setdefault(key[0], []).append((value, self._first[key]))


def _gate(spec: MetricSpec, limit: float, controls: JudgeControls) -> StructureGate:
    return StructureGate(spec, limit, _missing=None if controls.structure else NOT_ASKED)


STRUCTURE = MetricSpec(
    "structure", "JOD", (-1000.0, 10.0), "higher", "BT.2020 light of the down-mapped result", "gate",
    "what a viewer would see of the difference to the source", gate=_gate, stages=("verify",), required=False,
)  # fmt: skip
