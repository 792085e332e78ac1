"""The JSON that large models answer with: the schema that holds their decoding, and the reading of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from analysis.mllm.frame_report import MAX_DISTORTIONS, AnswerError, FrameReport
from analysis.schema import Box

MAX_ANSWER_CHARS = 20_000
SCORES = tuple(round(1.0 + 0.1 * step, 1) for step in range(41))
STORED_BOX = "bbox_1000"


def answer_schema(box_field: str, box_range: tuple[int, int]) -> dict[str, Any]:
    """FrameReport's JSON schema as a decoder needs it: no references, bounded lists, boxes in the model's counting.

    A score is one of 41 steps, because a free number may go on for ever.
    """
    schema = FrameReport.model_json_schema()
    distortion = schema.pop("$defs")["Distortion"]
    sides = [{"type": "integer", "minimum": 0, "maximum": limit} for limit in (*box_range, *box_range)]
    box = {"type": "array", "prefixItems": sides, "items": False, "minItems": 4, "maxItems": 4}
    kept = distortion["properties"]
    properties = {"type": kept["type"], "severity": kept["severity"], box_field: box}
    distortion |= {"properties": properties, "required": list(properties)}
    places = {"type": "integer", "minimum": 0, "maximum": MAX_DISTORTIONS - 1}
    schema["properties"] |= {
        "distortions": {"type": "array", "items": distortion, "maxItems": MAX_DISTORTIONS},
        "key": {"type": "array", "items": places, "maxItems": MAX_DISTORTIONS},
        "score": {"enum": list(SCORES)},
    }
    return _without_titles(schema)


def read_answer(text: str, box_field: str, to_stored: Callable[[Box], Box]) -> FrameReport:
    """The report of a JSON answer whose boxes are called `box_field` and brought to 0..1000 by `to_stored`.

    Raises AnswerError, naming the field, on anything that is not exactly one valid answer.
    """
    answer = _json_object(text)
    try:
        for item in answer.get("distortions", ()):
            box = to_stored(_four_integers(item.pop(box_field)))
            if STORED_BOX in item:
                raise ValueError("a second box")
            item[STORED_BOX] = box
        return FrameReport.model_validate_json(json.dumps(answer), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the answer"
        raise AnswerError(f"{place}: {first['msg']}: ask again") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise AnswerError(f"the distortions are no list with boxes ({str(error)[:80]}): ask again") from error


def _without_titles(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name not in ("title", "description")}
        return {name: _without_titles(item) for name, item in kept.items()}
    return [_without_titles(item) for item in value] if isinstance(value, list) else value


def _four_integers(values: Any) -> Box:
    if not isinstance(values, list) or len(values) != 4 or any(type(value) is not int for value in values):
        raise ValueError(f"{str(values)[:40]} is not four whole numbers")
    return values[0], values[1], values[2], values[3]


def _json_object(text: str) -> dict[str, Any]:
    """The one JSON object that a text is: no words around it, no name twice, no NaN, not too long."""
    if len(text) > MAX_ANSWER_CHARS:
        raise AnswerError(f"the answer has {len(text)} characters, at most {MAX_ANSWER_CHARS} are read: ask again")
    try:
        answer = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"the answer is no JSON ({str(error)[:80]}): ask again") from error
    if not isinstance(answer, dict):
        raise AnswerError(f"the answer is a JSON {type(answer).__name__}, not an object: ask again")
    return answer


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
