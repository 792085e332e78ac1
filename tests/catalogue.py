"""Which models a test can run: those that come with the product, and the published ones where their weights lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.shared_data import shared_data
from toolchain.models.registry import get_spec, specs
from toolchain.models.weights import pull

BUILT_IN = tuple(spec.id for spec in specs("sdr2hdr") if spec.weights is None or spec.weights.shipped)
"""Expanding models that run on a bare machine."""

PUBLISHED = tuple(spec.id for spec in specs("sdr2hdr") if spec.weights and not spec.weights.shipped)
"""Expanding models whose weights a user has to pull."""


def published_weights() -> Path:
    """The folder of the published checkpoints; skips where it is absent."""
    folder = shared_data().parent / "weights"
    if not folder.is_dir():
        pytest.skip("the published weights are not present beside the development data")
    return folder


@contextmanager
def installed(cache: Path, *model_ids: str) -> Iterator[Path]:
    """A cache of its own with these published models pulled from the development folder; skips where it is absent."""
    source = published_weights()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDR2HDR_CACHE", str(cache))
        for model_id in model_ids:
            pull(get_spec(model_id), source)
        yield cache
