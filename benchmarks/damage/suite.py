"""Runs the suite: each clip's good results and damaged ones, coded, decoded and judged; resumed clip by clip.

What is kept are measured values, not verdicts, so that any limits can be applied to them afterwards. Coded videos are
kept too: where only metrics have changed, nothing is rendered or coded again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from analysis.vqa.judge import Judge
from analysis.vqa.spec import FramePair, JudgeControls, Limits, load_limits
from analysis.vqa.verdict import measure_gain
from benchmarks.damage.clips import FRAMES, PEAK_NITS, Clip, Entry, read_clip
from benchmarks.damage.coding import Encoder, decode, encode
from benchmarks.damage.kinds import DAMAGES, STRENGTHS, Damage
from benchmarks.damage.place import Place
from benchmarks.damage.renditions import BASES, Rendition, rendition, renditions_of

CONTROLS = JudgeControls(peak_nits=PEAK_NITS, mid_gain_ev=0.0)
CLEAN_ENCODERS: tuple[Encoder, ...] = ("x265", "svtav1")
DAMAGE_ENCODER: Encoder = "x265-crf12"
STILL_FRAMES = 1
"""Of each shot, where a damage does not move."""

ROOT = Path(__file__).parents[2]
PICTURE_MODULES = ("clips", "coding", "detail", "light", "overlay", "place", "renditions", "time")
WAYS = 2
"""Each damage is done to every second clip, save those that few clips suit."""

RARE = frozenset(
    {"banding", "skin tinted", "glaring graphics", "one hue turned", "black subtracted", "negative light"}
)


@dataclass(frozen=True)
class Measured:
    """One result as judged. `group`: clean or damage; `what`: the rendition, or the damage; `base`: what was damaged;
    `gates`: as the judge gave them; `gain`: mean and 95 % interval of the acceptance gain, None where there is none.
    """

    clip: str
    held_out: bool
    group: str
    what: str
    strength: str
    base: str
    encoder: str
    gates: tuple[dict[str, Any], ...]
    gain: tuple[float, float | None, float | None]


def run_clip(entry: Entry, held_out: bool, index: int, data: Path, work: Path) -> list[Measured]:
    """Every measurement of one clip, from `work` where the same metrics have measured it before."""
    stored = work / "values" / metrics_digest() / f"{index:02d}.json"
    if stored.is_file():
        return [_measured(row) for row in json.loads(stored.read_text())]
    clip = read_clip(entry, held_out, index, data)
    rows = list(_measure(clip, index, _Coded(work / "coded" / pictures_digest() / f"{index:02d}")))
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_text(json.dumps([asdict(row) for row in rows]))
    return rows


def metrics_digest() -> str:
    """Of all that a measured value depends on in this repository."""
    plan = repr([(d.name, d.strengths, d.moving, d.coded) for d in DAMAGES]) + pictures_digest()
    return _digest(sorted((ROOT / "analysis" / "vqa").glob("*.py")), plan)


def pictures_digest() -> str:
    """Of all that a coded picture depends on in this repository, save a damage's strength, which its name holds."""
    drawn = [Path(__file__).with_name(f"{name}.py") for name in PICTURE_MODULES]
    return _digest([*drawn, *sorted((ROOT / "toolchain" / "models").glob("*.py"))])


def _digest(files: list[Path], more: str = "") -> str:
    content = b"".join(path.read_bytes() for path in files) + more.encode()
    return hashlib.sha256(content).hexdigest()[:12]


def _measure(clip: Clip, index: int, coded: _Coded) -> Iterator[Measured]:
    good = cache(partial(rendition, clip))
    for name in renditions_of(clip):
        for encoder in CLEAN_ENCODERS:
            outputs = coded(partial(good, name), f"{name}-{encoder}", encoder, FRAMES)
            yield _judged(clip, "clean", name, "", name, encoder, outputs)
    base = BASES[index % len(BASES)]
    for number, damage in enumerate(DAMAGES):
        if (damage.name in RARE or (index + number) % WAYS == 0) and _suits(clip, good(base), damage):
            yield from _damaged(clip, damage, base, good(base), coded)


def _damaged(clip: Clip, damage: Damage, base: str, good: Rendition, coded: _Coded) -> Iterator[Measured]:
    for name in STRENGTHS:
        result = partial(_apply, clip, damage, good, damage.strength(name))
        key = f"{damage.name.replace(' ', '_')}-{damage.strength(name):g}-{base}"
        outputs = coded(result, key, DAMAGE_ENCODER, _frames(damage)) if damage.coded else result()
        yield _judged(clip, "damage", damage.name, name, base, DAMAGE_ENCODER if damage.coded else "none", outputs)


def _apply(clip: Clip, damage: Damage, good: Rendition, strength: float) -> Rendition:
    return tuple(
        tuple(damage.apply(good[s][n], _place(clip, good, s, n), strength) for n in range(_frames(damage)))
        for s in range(len(good))
    )


def _frames(damage: Damage) -> int:
    return FRAMES if damage.moving else STILL_FRAMES


def _suits(clip: Clip, good: Rendition, damage: Damage) -> bool:
    medium = damage.strength("medium")
    return any(damage.suits(shot[0], _place(clip, good, s, 0), medium) for s, shot in enumerate(good))


def _place(clip: Clip, good: Rendition, shot: int, frame: int) -> Place:
    sources = clip.sources[shot]
    return Place(shot, frame, sources[frame], clip.overlays[shot].mask, sources[0], good[shot][0], clip.faces)


class _Coded:
    """Videos through an encoder and back, kept in a folder; made only where they are not there."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __call__(self, make: Callable[[], Rendition], key: str, encoder: Encoder, per_shot: int) -> Rendition:
        path = self._folder / f"{key}.mkv"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode([frame for shot in make() for frame in shot], encoder))
        frames = decode(path.read_bytes())
        return tuple(tuple(frames[first : first + per_shot]) for first in range(0, len(frames), per_shot))


def _judged(
    clip: Clip, group: str, what: str, strength: str, base: str, encoder: str, outputs: Rendition
) -> Measured:
    judge = Judge(load_limits(), CONTROLS)
    for pair in pairs(clip, outputs):
        judge.add(pair)
    gain = measure_gain(judge, "verify")
    gates = tuple(gate.model_dump(mode="json", exclude={"limit", "frames"}) for gate in judge.gates())
    values = (gain.mean, gain.low, gain.high)
    return Measured(clip.name, clip.held_out, group, what, strength, base, encoder, gates, values)


def pairs(clip: Clip, outputs: Rendition) -> Iterator[FramePair]:
    """The clip's frames beside the outputs there are, numbered through."""
    for shot, results in enumerate(outputs):
        mask = clip.overlays[shot].mask
        for frame, result in enumerate(results):
            yield FramePair(shot, shot, FRAMES * shot + frame, clip.sources[shot][frame], result, mask)


def _measured(row: dict[str, Any]) -> Measured:
    return Measured(**{**row, "gates": tuple(row["gates"]), "gain": tuple(row["gain"])})


def failed_gates(row: Measured, limits: Limits) -> tuple[str, ...]:
    """Names of the gates that reject this result at these limits."""
    return tuple(gate["gate"] for gate in row.gates if _fails(gate, limits))


def _fails(gate: dict[str, Any], limits: Limits) -> bool:
    if gate["state"] == "not_measured":
        return False
    limit = float(getattr(limits, gate["gate"]))
    return gate["value"] < limit if gate.get("direction") == "higher" else gate["value"] > limit


def worse_than_nothing(row: Measured, limits: Limits) -> bool:
    """Whether the gain alone rejects it: its interval lies below test-retest noise."""
    return row.gain[2] is not None and row.gain[2] < -limits.acceptance_noise
