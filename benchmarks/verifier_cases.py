"""Videos whose truth is known, and what becomes of them: the cases the verifier's error is measured on.

A video is one or two shots with their HDR masters, graded to SDR by one recipe. Errors are measured on the split
`test` of `training.data.vqa_sources`, so neither the judging network nor the expectation has seen a picture of them;
what has to be chosen is chosen on the split `validation`. Drawn titles come from a seed that nothing else uses.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.color.primaries import luminance_coefficients
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from training.data.vqa_damages import DAMAGES, STRENGTHS, Strength, damaged
from training.data.vqa_media import HDR, SDR, Clip, expanded
from training.data.vqa_sources import Split, VqaTitle, drawn_titles, photo_titles, scene_titles
from training.data.vqa_versions import MODELS, Pair, graded_pair, shot_context

SEED = 4242
DRAWN = 150
SCENES = 6
PHOTO_SHOTS = 2
SHOTS = 2
CRF = 14
DAMAGED_RENDITIONS = 3
SPREAD = 0.15
OVER = (0.3, 0.6, 0.9)
OVER_FROM_NITS = 40.0
PEAK_NITS = 1000.0
DAMAGED_MODEL = "spline"
CONTROLS = Controls(peak_nits=PEAK_NITS, mid_gain_ev=0.0)
LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)


@dataclass(frozen=True)
class Video:
    """A video by its shots. `picture`: what was photographed or drawn; intervals resample these."""

    name: str
    picture: str
    titles: tuple[VqaTitle, ...]

    def pairs(self) -> list[Pair]:
        """Each shot's master and SDR signal; one recipe grades all."""
        seed = _number(self.name)
        return [graded_pair(title.render(), np.random.default_rng([SEED, seed])) for title in self.titles]


@dataclass(frozen=True)
class Case:
    """One result of a video. `kind`: nothing, model, over, master or damage; `what`: which."""

    kind: str
    what: str
    make: Callable[[Pair], Clip]
    """A shot's pair -> its frames in nits, after an encoder."""


def videos(data: Path, split: Split) -> list[Video]:
    """Every video of the split, in an order that mixes origins."""
    titles = [*photo_titles(data, PHOTO_SHOTS, SEED), *scene_titles(SCENES, SEED), *drawn_titles(DRAWN, SEED)]
    held_out = [title for title in titles if title.split == split]
    shots: dict[str, list[VqaTitle]] = defaultdict(list)
    for title in held_out:
        shots[_series(title)].append(title)
    found = [
        Video(f"{series}-{start // SHOTS}", series, tuple(listed[start : start + SHOTS]))
        for series, listed in shots.items()
        for start in range(0, len(listed), SHOTS)
    ]
    return sorted(found, key=lambda video: hashlib.sha256(video.name.encode()).digest())


def _series(title: VqaTitle) -> str:
    """Shots of one photograph, or drawn titles of one setting, make a video."""
    return title.picture if title.origin != "procedural" else title.name.rsplit("-", 1)[0]


def cases(video: Video) -> Iterator[Case]:
    """Doing nothing, every model, three over-expansions, the master, and three damaged renditions."""
    yield Case("nothing", "direct203", _nothing)
    for model in MODELS:
        yield Case("model", model, lambda pair, model=model: _coded(_model_signal(pair, model)))
    for power in OVER:
        yield Case("over", f"over-{power:g}", lambda pair, power=power: _over(pair, power))
    yield Case("master", "master", lambda pair: _coded(HDR.signal(pair.master)))
    rng = np.random.default_rng([SEED, _number(video.name), 1])
    kinds = rng.choice(sorted(DAMAGES), DAMAGED_RENDITIONS, replace=False)
    for number, kind in enumerate(map(str, kinds)):
        strength = STRENGTHS[1 + int(rng.integers(2))]
        key = (SEED, _number(video.name), number)
        yield Case(
            "damage",
            f"{kind} {strength}",
            lambda pair, kind=kind, strength=strength, key=key: _damaged(pair, kind, strength, key),
        )


def _coded(signal: Clip) -> Clip:
    return HDR.light(HDR.coded(np.clip(signal, 0, 1), CRF))


def _nothing(pair: Pair) -> Clip:
    return _coded(HDR.signal(SDR.light(pair.sdr)))


def _model_signal(pair: Pair, model: str) -> Clip:
    """The PQ signal of a model's rendition, bound to the shot's middle frame, anchored and guarded as in a job."""
    return expanded(pair.sdr, bind_guarded(model, shot_context(pair.sdr[len(pair.sdr) // 2]), CONTROLS))


def _over(pair: Pair, power: float) -> Clip:
    """Everything above 40 nits raised by a power of its distance: mid-tones and whites glare alike."""
    nits = SDR.light(pair.sdr)
    gain = np.maximum(1, (nits @ LUMINANCE / OVER_FROM_NITS) ** np.float32(power))
    return _coded(HDR.signal(np.minimum(nits * gain[..., None], PEAK_NITS)))


def _damaged(pair: Pair, kind: str, strength: Strength, key: tuple[int, ...]) -> Clip:
    """A good rendition with one damage of the judging network's training, drawn anew."""
    signal = _model_signal(pair, DAMAGED_MODEL)
    return _coded(damaged(signal, HDR, kind, strength, np.random.default_rng(key), SPREAD))


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
