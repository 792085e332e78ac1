"""Good results: what the better models of the catalogue make of a clip, and its anchored master."""

from __future__ import annotations

import numpy as np

from analysis.vqa.spec import Image
from benchmarks.damage.clips import PEAK_NITS, Clip
from toolchain.color.transfer import REFERENCE_WHITE_NITS
from toolchain.models.curves import luminance
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls, ShotContext, ShotTone

MODELS = ("direct203", "bt2446a", "bt2446b", "spline", "lumen-fixed", "lumen-shot")
MASTER = "master"
BASES = MODELS[1:]
"""What is damaged, in turn: doing nothing has no highlights to damage."""

CONTROLS = Controls(peak_nits=PEAK_NITS, mid_gain_ev=0.0, saturation=1.0)

Rendition = tuple[tuple[Image, ...], ...]
"""Frames of each shot, BT.2020 nits."""


def renditions_of(clip: Clip) -> tuple[str, ...]:
    """The models, and the master where the clip has one."""
    return (*MODELS, MASTER) if clip.masters else MODELS


def rendition(clip: Clip, name: str) -> Rendition:
    """A model bound to each shot behind its guards, doing nothing on graphics, or the master."""
    if name == MASTER:
        assert clip.masters is not None
        return clip.masters
    shots = []
    for sources, overlay in zip(clip.sources, clip.overlays, strict=True):
        expand = bind_guarded(name, _context(sources[0]), CONTROLS)
        expanded = [np.asarray(expand(s.astype(np.float64) / REFERENCE_WHITE_NITS), np.float32) for s in sources]
        shots.append(tuple(overlay.keep(s, result) for s, result in zip(sources, expanded, strict=True)))
    return tuple(shots)


def _context(source: Image) -> ShotContext:
    """A shot known by its first frame."""
    light = source / np.float32(REFERENCE_WHITE_NITS)
    signal = np.clip(luminance(light), 0, 1) ** (1 / 2.4)
    shares, _ = np.histogram(signal, bins=256, range=(0, 1))
    return ShotContext(ShotTone(histogram=tuple((shares / shares.sum()).tolist())), (light,), light.shape[:2])
