"""The catalogue: which models exist, in which order, and what each one's data sheet says.

Adding a model: its own file, configs/models/<id>.yaml, and one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import ValidationError

from toolchain.errors import AgentError, UsageError
from toolchain.models.lumen import LumenFixed, LumenShot
from toolchain.models.lumen_local import LumenLocal
from toolchain.models.neural import NeuralModel
from toolchain.models.operators import Bt2446A, Direct203, bt2446b, bt2446c
from toolchain.models.spec import ModelSpec, PointwiseModel
from toolchain.models.spline import Spline

Factory = Callable[[ModelSpec], PointwiseModel]
Task = Literal["sdr2hdr", "restore"]

EXPAND: tuple[tuple[str, Factory], ...] = (
    ("direct203", Direct203),
    ("bt2446a", Bt2446A),
    ("bt2446b", bt2446b),
    ("bt2446c", bt2446c),
    ("spline", Spline),
    ("lumen-fixed", LumenFixed),
    ("lumen-shot", LumenShot),
    ("lumen-local", LumenLocal),
    ("agcm", NeuralModel),
    ("hdrtvnetpp", NeuralModel),
    ("hdrtvnetpp-hr", NeuralModel),
    ("lsn", NeuralModel),
    ("lsn-3dm", NeuralModel),
    ("lsn-davinci", NeuralModel),
    ("itmlut-tv1k", NeuralModel),
    ("itmlut-davinci", NeuralModel),
)

RESTORE: tuple[str, ...] = ("deinterlace", "codec-clean", "deblock", "denoise", "deband", "clarity", "sharpen")
"""In the order they run when a plan asks for several: defects of the coder first, sharpening last."""


def model_ids(task: Task | None = None) -> tuple[str, ...]:
    """Ids of all models, or of one task's, in catalogue order."""
    expand = tuple(model_id for model_id, _ in EXPAND)
    return {"sdr2hdr": expand, "restore": RESTORE, None: expand + RESTORE}[task]


def get_spec(model_id: str) -> ModelSpec:
    """The model's data sheet. Raises UsageError for an id that is not in the catalogue."""
    if model_id not in model_ids():
        raise UsageError(f"There is no model {model_id!r}: use one of {', '.join(model_ids())}.")
    return _read_spec(model_id)


def specs(task: Task | None = None) -> tuple[ModelSpec, ...]:
    """Data sheets of all models, or of one task's, in catalogue order."""
    return tuple(get_spec(model_id) for model_id in model_ids(task))


def get_model(model_id: str) -> PointwiseModel:
    """An expanding model. Raises UsageError for an unknown id and for a restore model (see `restore_filters`)."""
    spec = get_spec(model_id)
    factory = dict(EXPAND).get(model_id)
    if factory is None:
        known = ", ".join(model_ids("sdr2hdr"))
        raise UsageError(f"Model {model_id!r} restores and cannot expand SDR to HDR: use one of {known}.")
    return factory(spec)


@cache
def _read_spec(model_id: str) -> ModelSpec:
    resource = files("configs") / "models" / f"{model_id}.yaml"
    try:
        spec = ModelSpec.model_validate(yaml.safe_load(resource.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise AgentError(f"The catalogue file of model {model_id!r} cannot be used: {error}") from error
    if spec.id != model_id:
        raise AgentError(f"configs/models/{model_id}.yaml names itself {spec.id!r}: the id must equal the file name.")
    return spec


def check_parameters(spec: ModelSpec, parameters: dict[str, float]) -> dict[str, float]:
    """All of the model's parameters: the given ones checked, the rest at their defaults.

    Raises UsageError for a name the model does not have, a value outside its range (or not finite), and a broken
    value where the unit is `integer`.
    """
    unknown = sorted(set(parameters) - set(spec.parameters))
    if unknown:
        known = ", ".join(spec.parameters) or "none"
        raise UsageError(f"Model {spec.id!r} has no parameter {unknown[0]!r}: it takes {known}.")
    values = {name: float(parameters.get(name, known.default)) for name, known in spec.parameters.items()}
    for name, value in values.items():
        known = spec.parameters[name]
        whole = known.unit == "integer"
        if not known.minimum <= value <= known.maximum or (whole and not value.is_integer()):
            kind = "whole numbers" if whole else "values"
            raise UsageError(
                f"{spec.id}: {name} is {value:g}; {kind} from {known.minimum:g} to {known.maximum:g} are allowed."
            )
    return values
