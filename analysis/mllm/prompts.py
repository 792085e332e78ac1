"""What a model is asked. Several questions about a picture are merged into one prompt: the picture is read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from analysis.mllm.frame_report import LEVEL_STEP, LEVELS, MAX_DISTORTIONS, middle_score
from analysis.schema import DistortionType

Question = Literal["dynamic_range", "contrast", "distortions", "quality"]
QUESTIONS: tuple[Question, ...] = get_args(Question)
FIELDS: dict[Question, tuple[str, ...]] = {
    "dynamic_range": ("dynamic_range",),
    "contrast": ("contrast",),
    "distortions": ("distortions", "key"),
    "quality": ("level", "score"),
}
"""The fields of FrameReport that answer a question."""


@dataclass(frozen=True)
class Prompt:
    """`system` comes before the pictures (a server keeps it in its prefix cache), `user` after them."""

    system: str
    user: str


COMPACT_WORDS: dict[Question, str] = {
    "dynamic_range": "range",
    "contrast": "contrast",
    "distortions": "defects",
    "quality": "quality",
}


def compact_prompt(questions: tuple[Question, ...] = QUESTIONS) -> Prompt:
    """The compact model's prompt: a word a question, in the order of QUESTIONS, after `report`."""
    return Prompt("", " ".join(["report", *(COMPACT_WORDS[name] for name in QUESTIONS if name in questions)]))


HINTS: dict[DistortionType, str] = {
    "low_clarity": "soft all over, fine detail is missing",
    "out_of_focus_blur": "round blur of a lens out of focus",
    "motion_blur": "smeared along one direction",
    "noise": "grain or speckle that is no texture",
    "blocking_artifacts": "edges of a coder's square blocks",
    "edge_aliasing": "staircases on slanted edges, moire",
    "edge_ringing": "echoes or halos beside edges",
    "overexposure": "light areas burnt out to one flat tone",
    "underexposure": "dark areas sunk to black",
    "meaningless_solid_color": "an area of one flat colour where a picture should be",
    "color_banding": "steps in what should be a smooth gradient",
    "color_cast": "one tint over everything",
    "oversaturation": "colours too strong to be natural",
    "desaturation": "colours washed out",
    "flicker": "brightness that jumps between frames",
}

VARIANTS: dict[Question, tuple[str, ...]] = {
    "dynamic_range": (
        "How wide was the scene's range of light, from its darkest to its brightest detail?",
        "Grade the dynamic range of the scene that this picture shows.",
        "Judge the span between the deepest shadows and the strongest highlights of the scene.",
    ),
    "contrast": (
        "How strong is the contrast of the picture?",
        "Grade the picture's brightness contrast.",
        "Is the contrast low, medium or high?",
    ),
    "distortions": (
        "Which distortions does the picture have, how severe is each, where is it, and which are the worst?",
        "Find every distortion with its type, severity and box, and name the key ones.",
        "List the picture's defects: type, severity, box. Then say which of them hurt the most.",
    ),
    "quality": (
        "How good is the picture as a whole?",
        "Rate the overall quality.",
        "Give the quality level of the picture and its score.",
    ),
}
"""Ways to ask the same; training draws among them so that no wording matters."""

_ANSWERS: dict[Question, str] = {
    "dynamic_range": '"dynamic_range": one of very_low, low, medium, high, very_high.',
    "contrast": '"contrast": one of low, medium, high.',
    "distortions": (
        '"distortions": a list of at most {most} objects with "type", "severity" (minor, moderate or severe) and '
        '"{field}" ([x0, y0, x1, y1], {unit}; a defect of the whole picture has the whole picture as its box); an '
        'empty list for a clean picture. "key": the ascending places, counted from 0, of the one or two worst '
        "distortions in that list; empty only if the list is."
    ),
    "quality": '"level" and "score": {bands}.',
}


def json_prompt(box_field: str, unit: str, questions: tuple[Question, ...] = QUESTIONS, variant: int = 0) -> Prompt:
    """The prompt of a family that answers in JSON.

    `box_field` names a box in the answer and `unit` says how it is counted. `variant` picks the wording of each
    question, any number from 0; 0 is the one that is used in production.
    """
    asked = [VARIANTS[name][(variant + variant // 3 * place) % 3] for place, name in enumerate(questions)]
    numbered = asked if len(asked) == 1 else [f"{number}. {text}" for number, text in enumerate(asked, 1)]
    bands = ", ".join(f"{level} around {middle_score(level):.1f}" for level in LEVELS)
    values = {
        "most": str(MAX_DISTORTIONS),
        "field": box_field,
        "unit": unit,
        "bands": f"{bands}, each {LEVEL_STEP:.1f} wide, in steps of 0.1 from 1.0 to 5.0",
    }
    lines = [
        "You judge single frames of a video. Picture 1 is the frame. Picture 2 shows the same frame as 16 x 9 cells "
        "of statistics that were measured at full resolution, where fine damage is still visible.",
        "Answer with one JSON object and nothing else:",
        *(f"- {_ANSWERS[name].format_map(values)}" for name in questions),
    ]
    if "distortions" in questions:
        lines += ["Types of distortion:", *(f"- {kind}: {hint}" for kind, hint in HINTS.items())]
    return Prompt("\n".join(lines), "\n".join(numbered))
