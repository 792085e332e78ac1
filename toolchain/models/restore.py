"""Restore models that are FFmpeg filters: this turns a model and its numbers into filter names and option strings.

The caller puts the frames into a planar YUV format of at least 10 bits before the first filter and names the same
format again after the last (a filter may prefer another one). bwdif halves the time base: read the time base
of the frames that come out.
"""

from __future__ import annotations

from toolchain.errors import UsageError
from toolchain.models.registry import check_parameters, get_spec, model_ids


def restore_filters(model_id: str, parameters: dict[str, float]) -> tuple[tuple[str, str], ...]:
    """(filter name, option string) pairs in the order they run; options contain checked numbers only.

    Parameters left out take their defaults. Raises UsageError for a model that does not restore, an unknown
    parameter and a value outside its range.
    """
    spec = get_spec(model_id)
    if spec.task != "restore":
        known = ", ".join(model_ids("restore"))
        raise UsageError(f"Model {model_id!r} expands and does not restore: use one of {known}.")
    numbers = {name: f"{value:.6g}" for name, value in check_parameters(spec, parameters).items()}
    pairs = (template.format_map(numbers).partition("=") for template in spec.filters)
    return tuple((name, options) for name, _, options in pairs)
