"""The compact model's short answer: one token a word, words separated by one space.

    dr4 ct2 ; noise minor global ; blocks severe local p05 p10 p20 p30 ; key 1 ; qd
    dr5 ct3 ; clean ; qj

`dr1..dr5` dynamic range, `ct1..ct3` contrast; each defect is its type, severity and extent, and for a local one
x0 y0 x1 y1 in steps of 20/1000; `key` names one or two of the worst by their place in the list, from 0; `qa..qj` is
the quality, worst first, two steps a level. `encode` lists the defects in raster order (y0, then x0) and writes a box
that rounds to the whole frame as `global`; `decode` and GRAMMAR take them in any order, because order says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from analysis.mllm.frame_report import (
    CONTRASTS,
    GRADES,
    LEVEL_STEP,
    LEVELS,
    WORST_SCORE,
    AnswerError,
    FrameReport,
    Level,
    middle_score,
)
from analysis.mllm.prompts import Question
from analysis.schema import Box, Distortion, DistortionType, Severity

TYPE_WORDS: dict[DistortionType, str] = dict(
    zip(
        get_args(DistortionType),
        ("clarity", "defocus", "motion", "noise", "blocks", "aliasing", "ringing", "over", "under", "solid",
         "banding", "cast", "oversat", "desat", "flicker"),
        strict=True,
    )
)  # fmt: skip
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
MAX_CODED = 6
"""The most distortions an answer may list."""
MAX_KEYS = 2
BOX_STEP = 20
BOX_STEPS = 1000 // BOX_STEP
WHOLE: Box = (0, 0, 1000, 1000)

RANGE_WORDS = tuple(f"dr{grade}" for grade in range(1, len(GRADES) + 1))
CONTRAST_WORDS = tuple(f"ct{grade}" for grade in range(1, len(CONTRASTS) + 1))
POSITION_WORDS = tuple(f"p{step:02d}" for step in range(BOX_STEPS + 1))
INDEX_WORDS = tuple(str(index) for index in range(MAX_CODED))
QUALITY_WORDS = tuple(f"q{letter}" for letter in "abcdefghij")
WORDS: tuple[str, ...] = (
    ";", "clean", "key", "global", "local", *RANGE_WORDS, *CONTRAST_WORDS, *TYPE_WORDS.values(), *SEVERITIES,
    *POSITION_WORDS, *INDEX_WORDS, *QUALITY_WORDS,
)  # fmt: skip
"""The whole vocabulary of an answer. Its order is part of every trained checkpoint: append only."""


class CodeError(AnswerError):
    """A text is not a short answer, or a report has none."""


def encode(report: FrameReport) -> str:
    """The report's short answer: boxes rounded to 20/1000 (never empty), the score to the half of its level.

    Raises CodeError for more than six distortions or more than two key ones.
    """
    return joined(encode_parts(report))


def joined(parts: Mapping[Question, str]) -> str:
    """One short answer of its four parts."""
    light = f"{parts['dynamic_range']} {parts['contrast']}"
    return f"{light} ; {parts['distortions']} ; {parts['quality']}"


def encode_parts(report: FrameReport) -> dict[Question, str]:
    """The parts that `encode` joins: `dynamic_range`, `contrast`, `distortions` (with the key) and `quality`."""
    return {
        "dynamic_range": RANGE_WORDS[GRADES.index(report.dynamic_range)],
        "contrast": CONTRAST_WORDS[CONTRASTS.index(report.contrast)],
        "distortions": _distortions_text(report),
        "quality": quality_word(report.level, report.score),
    }


def decode(text: str) -> FrameReport:
    """The report of a short answer; local boxes on the 20/1000 grid, the score in the middle of its half level.

    Raises CodeError on anything that is not exactly such an answer, naming the word where it goes wrong.
    """
    reader = _Reader(text)
    dynamic_range = GRADES[reader.take(RANGE_WORDS)]
    contrast = CONTRASTS[reader.take(CONTRAST_WORDS)]
    distortions, key = _read_distortions(reader)
    quality = reader.take(QUALITY_WORDS)
    reader.end()
    level, score = quality_of(QUALITY_WORDS[quality])
    return FrameReport(
        dynamic_range=dynamic_range,
        contrast=contrast,
        distortions=tuple(distortions),
        key=tuple(key),
        level=level,
        score=score,
    )


def quality_word(level: Level, score: float) -> str:
    """The level's lower or upper word: the upper from the middle of its band on."""
    return QUALITY_WORDS[2 * LEVELS.index(level) + (score >= middle_score(level) - 1e-9)]


def quality_of(word: str) -> tuple[Level, float]:
    """Level and score of a quality word: 1.2 for `qa`, 4.8 for `qj`, 0.4 apart."""
    step = QUALITY_WORDS.index(word)
    return LEVELS[step // 2], round(WORST_SCORE + LEVEL_STEP / 2 * (step + 0.5), 6)


def grid_box(box: Box) -> Box:
    """The box as the short answer keeps it: on the 20/1000 grid, never empty."""
    x0, y0, x1, y1 = (step * BOX_STEP for step in _box_steps(box))
    return x0, y0, x1, y1


class _Reader:
    """Takes the words of a text one after another, refusing what is not allowed there."""

    def __init__(self, text: str):
        self._words = text.split(" ")
        self._next = 0

    def peek(self) -> str:
        return self._words[self._next] if self._next < len(self._words) else ""

    def take(self, allowed: tuple[str, ...]) -> int:
        word = self.peek()
        if word not in allowed:
            raise self.refusal(allowed)
        self._next += 1
        return allowed.index(word)

    def end(self) -> None:
        if self._next != len(self._words):
            raise self.refusal(("the end",))

    def refusal(self, allowed: tuple[str, ...]) -> CodeError:
        expected = allowed[0] if len(allowed) == 1 else f"one of {allowed[0]}..{allowed[-1]}"
        found = repr(self.peek()[:40]) if self._next < len(self._words) else "the end"
        return CodeError(f"word {self._next + 1} of the answer is {found}, expected {expected}: ask again")


def _read_distortions(reader: _Reader) -> tuple[list[Distortion], list[int]]:
    reader.take((";",))
    distortions: list[Distortion] = []
    if reader.peek() == "clean":
        reader.take(("clean",))
        reader.take((";",))
        return distortions, []
    while not distortions or (reader.peek() != "key" and len(distortions) < MAX_CODED):
        distortions.append(_read_distortion(reader))
        reader.take((";",))
    return distortions, _read_key(reader, len(distortions))


def _read_distortion(reader: _Reader) -> Distortion:
    kinds = tuple(TYPE_WORDS)
    kind = kinds[reader.take(tuple(TYPE_WORDS.values()))]
    severity = SEVERITIES[reader.take(SEVERITIES)]
    if reader.take(("global", "local")) == 0:
        return Distortion(type=kind, severity=severity, bbox_1000=WHOLE)
    x0 = reader.take(POSITION_WORDS[:-1])
    y0 = reader.take(POSITION_WORDS[:-1])
    x1 = reader.take(POSITION_WORDS[x0 + 1 :]) + x0 + 1
    y1 = reader.take(POSITION_WORDS[y0 + 1 :]) + y0 + 1
    box = (x0 * BOX_STEP, y0 * BOX_STEP, x1 * BOX_STEP, y1 * BOX_STEP)
    return Distortion(type=kind, severity=severity, bbox_1000=box)


def _read_key(reader: _Reader, count: int) -> list[int]:
    reader.take(("key",))
    key = [reader.take(INDEX_WORDS[:count])]
    if reader.peek() != ";":
        key.append(reader.take(INDEX_WORDS[key[0] + 1 : count] or (";",)) + key[0] + 1)
    reader.take((";",))
    return key


def _distortions_text(report: FrameReport) -> str:
    if len(report.distortions) > MAX_CODED or len(report.key) > MAX_KEYS:
        raise CodeError(
            f"{len(report.distortions)} distortions with {len(report.key)} key ones have no short answer: "
            f"at most {MAX_CODED} and {MAX_KEYS} do, keep the worst"
        )
    steps = [_box_steps(item.bbox_1000) for item in report.distortions]
    order = sorted(range(len(steps)), key=lambda index: (steps[index][1], steps[index][0]))
    items = [_distortion_text(report.distortions[index], steps[index]) for index in order]
    key = " ".join(["key", *(str(place) for place, index in enumerate(order) if index in report.key)])
    return " ; ".join([*items, key]) if items else "clean"


def _distortion_text(item: Distortion, steps: tuple[int, int, int, int]) -> str:
    head = f"{TYPE_WORDS[item.type]} {item.severity}"
    if steps == (0, 0, BOX_STEPS, BOX_STEPS):
        return f"{head} global"
    return " ".join([head, "local", *(POSITION_WORDS[step] for step in steps)])


def _box_steps(box: Box) -> tuple[int, int, int, int]:
    (x0, x1), (y0, y1) = _side_steps(box[0], box[2]), _side_steps(box[1], box[3])
    return x0, y0, x1, y1


def _side_steps(low: int, high: int) -> tuple[int, int]:
    """Nearest steps; a side that they would make empty takes the step that holds its middle."""
    first, last = (int(value / BOX_STEP + 0.5) for value in (low, high))
    if first < last:
        return first, last
    middle = (low + high) // 2 // BOX_STEP
    return middle, middle + 1


def _choice(words: tuple[str, ...]) -> str:
    return " | ".join(f'"{word}"' for word in words)


def _key_choice(first: int, count: int) -> str:
    later = INDEX_WORDS[first + 1 : count]
    return f'"{INDEX_WORDS[first]}"' + (f' (" " ({_choice(later)}))?' if later else "")


def _grammar(start: str, end: str = "") -> str:
    """Lark rules as llguidance reads them, `end` after the distortions. A box's far corner depends on its near one:
    one rule a near step."""
    lines = [
        f"start: {start}",
        f"range: {_choice(RANGE_WORDS)}",
        f"contrast: {_choice(CONTRAST_WORDS)}",
        f"quality: {_choice(QUALITY_WORDS)}",
        f'clean: "clean"{end}',
        'first: item " ; " after1',
        'item: type " " severity " " ("global" | "local " box)',
        f"type: {_choice(tuple(TYPE_WORDS.values()))}",
        f"severity: {_choice(SEVERITIES)}",
    ]
    for count in range(1, MAX_CODED + 1):
        key = f'"key " key{count}{end}'
        more = f' | item " ; " after{count + 1}' if count < MAX_CODED else ""
        lines.append(f"after{count}: {key}{more}")
        firsts = (_key_choice(index, count) for index in range(count))
        lines.append(f"key{count}: {' | '.join(firsts)}")
    steps = range(BOX_STEPS)
    lines.append(f"box: {' | '.join(f'box{x}' for x in steps)}")
    for x in steps:
        rows = " | ".join(f'"{POSITION_WORDS[y]} " beyond{x} " " beyond{y}' for y in steps)
        lines.append(f'box{x}: "{POSITION_WORDS[x]} " ({rows})')
        lines.append(f"beyond{x}: {_choice(POSITION_WORDS[x + 1 :])}")
    return "\n".join(lines) + "\n"


GRAMMAR: str = _grammar('range " " contrast " ; " (clean | first)', ' " ; " quality')
PART_GRAMMARS: dict[Question, str] = {
    "dynamic_range": _grammar("range"),
    "contrast": _grammar("contrast"),
    "distortions": _grammar("clean | first"),
    "quality": _grammar("quality"),
}
"""Of the parts of `encode_parts`, each answered alone."""
