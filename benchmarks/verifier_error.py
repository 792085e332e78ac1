"""How often the verifier is wrong, on videos whose HDR master is known.

    python -m benchmarks.verifier_error measure --data DATA --work FOLDER     (resumes; an hour on one core)
    python -m benchmarks.verifier_error report --work FOLDER --out docs/benchmarks/verifier_error.json

`measure` judges every case as `agent verify` would and compares it with the master by two reference metrics. The
verifier never sees a master; its gate `harm` was taught to foretell squared PU21 error, which is near to one of the
two; ColorVideoVDP has no part in it unless `--structure` asks. Numbers and small pictures are kept below FOLDER.
`report` forms verdicts from the numbers at the limits in force, and the truth from the reference metrics.

Truth. A result is truly better (worse) than doing nothing where PU21-PSNR and ColorVideoVDP against the master both
say so by more than what is seen: 0.5 dB and 0.1 JOD. Where they do not agree, or nothing is seen, the truth is not
known, and the case counts neither way. Intervals resample pictures, not cases (benchmarks.picture_share).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from pydantic import TypeAdapter

from analysis.schema import GateResult
from analysis.vqa import ranking
from analysis.vqa.bilivqa import Scorer, model_hash
from analysis.vqa.colorvideovdp import jod
from analysis.vqa.display import CLIP_FRAMES, key_picture, motion_picture
from analysis.vqa.judge import Judge
from analysis.vqa.pooling import judged
from analysis.vqa.registry import stage_metric
from analysis.vqa.spec import FramePair, Image, JudgeControls, Limits, load_limits
from analysis.vqa.verdict import decide, gain_of, judge_candidate
from benchmarks import verifier_reasons
from benchmarks.machine import describe_machine, write_report
from benchmarks.picture_share import PictureShare
from benchmarks.verifier_cases import Case, Video, cases, videos
from toolchain.color.primaries import luminance_coefficients
from toolchain.color.pu21 import pu21_encode
from toolchain.files import write_atomic
from training.data.vqa_media import SDR, Clip
from training.data.vqa_sources import Split

MEASURED = range(6)
"""Frames of each shot that gates measure; the judging network sees all."""
COMPARED = (4, 10, 16, 22, 28)
"""Frames of each shot that reference metrics see."""
JOD_FRAMES = 4
JOD_SIZE = (240, 135)
FPS = 24.0
TIE_DB, TIE_JOD = 0.5, 0.1
ATTEMPTS = 3
_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)
_PU_PEAK = float(pu21_encode(1000.0))


@dataclass(frozen=True)
class Row:
    """One case: what the judge measured, shot by shot where verdicts resample, and what the master says."""

    video: str
    picture: str
    kind: str
    what: str
    gates: tuple[GateResult, ...]
    units: dict[str, list[float]]
    """Every metric's value of each shot."""
    psnr_db: float
    jod: float


_ROWS = TypeAdapter(list[Row])

# Measuring


def measure(data: Path, work: Path, split: Split, limit: int | None, earlier: Path | None) -> None:
    """Every case of every video, one JSON file a video; those that are there are kept.

    What the masters say of a case does not change with the judge: it is taken from `earlier`, where that has it.
    """
    found = videos(data, split)[:limit]
    for number, video in enumerate(found):
        path = work / f"{video.name}.json"
        if not path.exists():
            write_atomic(path, _ROWS.dump_json(_measured(video, work, earlier)))
        sys.stderr.write(f"{number + 1} of {len(found)} videos\n")


def _measured(video: Video, work: Path, earlier: Path | None) -> list[Row]:
    before = earlier / f"{video.name}.json" if earlier else None
    known = _ROWS.validate_json(before.read_bytes()) if before and before.exists() else []
    truths = {row.what: (row.psnr_db, row.jod) for row in known}
    pairs = video.pairs()
    sources = [SDR.light(pair.sdr) for pair in pairs]
    rows = []
    for case in cases(video):
        outputs = [case.make(pair) for pair in pairs]
        _store(work / "clips" / f"{video.name}.{_file(case.what)}", outputs)
        truth = truths.get(case.what) or _against(outputs, [pair.master for pair in pairs])
        rows.append(_row(video, case, sources, outputs, truth))
    _store(work / "clips" / f"{video.name}.source", sources)
    return rows


def _row(video: Video, case: Case, sources: list[Clip], outputs: list[Clip], truth: tuple[float, float]) -> Row:
    judge = Judge(load_limits(), JudgeControls())
    for shot, (source, output) in enumerate(zip(sources, outputs, strict=True)):
        blank = np.zeros(source.shape[1:3], np.float32)
        for index, (before, after) in enumerate(zip(source, output, strict=True)):
            number = CLIP_FRAMES * shot + index
            judge.add(FramePair(shot, shot, number, before, after, blank, glance=index not in MEASURED))
    verdict = judge_candidate(case.what, judge, "verify")
    return Row(
        video=video.name,
        picture=video.picture,
        kind=case.kind,
        what=case.what,
        gates=verdict.gates,
        units={name: judge.units(name).tolist() for name in verdict.metrics},
        psnr_db=truth[0],
        jod=truth[1],
    )


def _against(outputs: list[Clip], masters: list[Clip]) -> tuple[float, float]:
    """Means over shots of what both reference metrics say."""
    both = list(zip(outputs, masters, strict=True))
    return float(np.mean([_psnr_db(o, m) for o, m in both])), float(np.mean([_jod(o, m) for o, m in both]))


def _psnr_db(output: Clip, master: Clip) -> float:
    """PU21-PSNR of luminance over COMPARED, at full working size."""
    shown, truth = (pu21_encode(clip[list(COMPARED)] @ _LUMINANCE) for clip in (output, master))
    return float(10 * np.log10(_PU_PEAK**2 / max(float(np.mean((shown - truth) ** 2)), 1e-3)))


def _jod(output: Clip, master: Clip) -> float:
    """ColorVideoVDP of JOD_FRAMES consecutive frames at JOD_SIZE."""
    first = len(output) // 2
    shown, truth = (
        np.stack([cv2.resize(f, JOD_SIZE, interpolation=cv2.INTER_AREA) for f in clip[first : first + JOD_FRAMES]])
        for clip in (output, master)
    )
    return jod(shown, truth, FPS)


def _store(path: Path, clips: Sequence[Clip]) -> None:
    """What the judging network would see of each shot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = np.stack([_codes(key_picture(clip[len(clip) // 2])) for clip in clips])
    motion = np.stack([np.stack([_codes(motion_picture(frame)) for frame in clip]) for clip in clips])
    np.save(path.with_name(path.name + ".key.npy"), keys)
    np.save(path.with_name(path.name + ".motion.npy"), motion)


def _file(what: str) -> str:
    return what.replace(" ", "-")


def _codes(picture: Image) -> np.ndarray:
    return np.rint(picture * 65535).astype(np.uint16)


# Truth and verdicts


@dataclass(frozen=True)
class Judged:
    """A case with what is true of it and what the verifier says."""

    row: Row
    truth: str
    """better, worse, or unknown."""
    failed: tuple[str, ...]
    """Gates that do not hold."""
    outcome: str
    selection: float


def judged_rows(work: Path) -> list[Judged]:
    """Every stored case under the limits in force."""
    limits = load_limits()
    found: list[Judged] = []
    for path in sorted(work.glob("*.json")):
        rows = _ROWS.validate_json(path.read_bytes())
        nothing = next(row for row in rows if row.kind == "nothing")
        for row in rows:
            gates = [_at_limit(gate, limits) for gate in row.gates]
            outcome, _ = decide("file", gates, gain_of(np.array(_accepted_by(row, work)), limits), "verify")
            found.append(
                Judged(
                    row,
                    _truth(row, nothing),
                    tuple(gate.gate for gate in gates if gate.state == "failed"),
                    outcome,
                    float(np.mean(row.units[stage_metric("pilot").name])),
                )
            )
    return found


def _at_limit(gate: GateResult, limits: Limits) -> GateResult:
    if gate.value is None:
        return gate
    limit = getattr(limits, gate.gate)
    return judged(gate.gate, gate.unit, gate.value, limit, gate.detail, gate.frames, gate.direction)


def _truth(row: Row, nothing: Row) -> str:
    decibels, jods = row.psnr_db - nothing.psnr_db, row.jod - nothing.jod
    if decibels > TIE_DB and jods > TIE_JOD:
        return "better"
    return "worse" if decibels < -TIE_DB and jods < -TIE_JOD else "unknown"


def _accepted_by(row: Row, work: Path) -> list[float]:
    """The acceptance metric of each shot; that of the judging network is taken anew, by the weights that ship."""
    name = stage_metric("verify").name
    return _ranking_gain(work / "clips", row) if name == ranking.GAIN.name else row.units[name]


def _ranking_gain(clips: Path, row: Row) -> list[float]:
    """Score of each shot's output less that of doing nothing, by the network that ships; kept beside the pictures."""
    return (
        np.array(_scores(clips, f"{row.video}.{_file(row.what)}")) - _scores(clips, f"{row.video}.source")
    ).tolist()


def _scores(clips: Path, name: str) -> list[float]:
    kept = clips / f"{name}.{model_hash()[:12]}.json"
    if not kept.exists():
        keys, motions = (np.load(clips / f"{name}.{part}.npy") for part in ("key", "motion"))
        scorer = _scorer()
        scores = [
            scorer.add_pictures(shot, 0, key / np.float32(65535), motion / np.float32(65535)).score
            for shot, (key, motion) in enumerate(zip(keys, motions, strict=True))
        ]
        write_atomic(kept, json.dumps(scores).encode())
    return json.loads(kept.read_text())


@cache
def _scorer() -> Scorer:
    return Scorer()


# Tables


def errors(found: Sequence[Judged]) -> dict[str, dict[str, object]]:
    """False accepts among the truly worse, false rejects among the truly better, by kind of case and in all."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for each in found:
        if each.row.kind == "nothing":
            continue
        groups["all"].append(each)
        groups[each.row.kind].append(each)
        if each.row.kind in ("model", "over"):
            groups[f"{each.row.kind} {each.row.what}"].append(each)
    return {name: _errors(listed) for name, listed in groups.items()}


def _errors(listed: Sequence[Judged]) -> dict[str, object]:
    worse = [each for each in listed if each.truth == "worse"]
    better = [each for each in listed if each.truth == "better"]
    return {
        "cases": len(listed),
        "unknown": len(listed) - len(worse) - len(better),
        "false_accepts": _share(worse, lambda each: each.outcome == "accept"),
        "false_rejects": _share(better, lambda each: each.outcome != "accept"),
        "better_called_reject": _share(better, lambda each: each.outcome == "reject"),
    }


def _share(listed: Sequence[Judged], counts: Callable[[Judged], bool]) -> dict[str, float]:
    return PictureShare.of((each.row.picture, counts(each)) for each in listed).as_json()


def delivered(found: Sequence[Judged]) -> dict[str, object]:
    """What a job would have delivered: of the models that pass, in the order of selection, the first accepted."""
    videos_of: dict[str, list[Judged]] = defaultdict(list)
    for each in found:
        if each.row.kind == "model":
            videos_of[each.row.video].append(each)
    found_first: list[Judged] = []
    chances: list[tuple[str, bool]] = []
    for listed in videos_of.values():
        order = sorted((each for each in listed if not each.failed), key=lambda each: -each.selection)[:ATTEMPTS]
        first = [each for each in order if each.outcome == "accept"][:1]
        found_first += first
        if any(each.truth == "better" for each in listed):
            chances.append((listed[0].row.picture, not first))
    truths = [each.truth for each in found_first]
    return {
        "videos": len(videos_of),
        "delivered": len(truths),
        "better": truths.count("better"),
        "unknown": truths.count("unknown"),
        "worse": _share(found_first, lambda each: each.truth == "worse"),
        "kept though a model was better": PictureShare.of(chances).as_json(),
    }


def _table(rows: dict[str, dict[str, object]]) -> Iterable[str]:
    yield "| cases | number | truth unknown | false accepts | false rejects | of these called reject |"
    yield "|---|---|---|---|---|---|"
    for name, row in rows.items():
        shares = (_text(row[key]) for key in ("false_accepts", "false_rejects", "better_called_reject"))
        yield f"| {name} | {row['cases']} | {row['unknown']} | " + " | ".join(shares) + " |"


def _text(share: object) -> str:
    assert isinstance(share, dict)
    return f"{share['count']}/{share['total']} ({share['percent']:.1f} %, {share['low']:.1f} to {share['high']:.1f})"


def report(work: Path, out: Path | None) -> None:
    """Print the tables as Markdown and write them as JSON."""
    found = judged_rows(work)
    rows, jobs = errors(found), delivered(found)
    for line in (*_table(rows), "", *verifier_reasons.table(found)):
        sys.stdout.write(line + "\n")
    sys.stdout.write(json.dumps(jobs) + "\n")
    if out:
        pictures = len({each.row.picture for each in found})
        limits = load_limits().model_dump()
        why = {"ends": verifier_reasons.reasons(found), "gates": verifier_reasons.gates_that_reject(found)}
        content = {"pictures": pictures, "errors": rows, "better": why, "delivered": jobs, "limits": limits}
        write_report(out, {**content, "model": model_hash(), **describe_machine()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--data", type=Path, required=True, help="the development data's folder")
    measuring.add_argument("--split", choices=("validation", "test"), default="test")
    measuring.add_argument("--earlier", type=Path, help="cases of an earlier judge, whose truth is kept")
    measuring.add_argument("--limit", type=int, help="stop after so many videos")
    reporting = commands.add_parser("report")
    reporting.add_argument("--out", type=Path)
    for command in (measuring, reporting):
        command.add_argument("--work", type=Path, required=True, help="where cases are kept")
    options = parser.parse_args()
    if options.command == "measure":
        measure(options.data, options.work, options.split, options.limit, options.earlier)
    else:
        report(options.work, options.out)


if __name__ == "__main__":
    main()
