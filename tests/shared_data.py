"""Where the development data lies, or a skip that says why it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_data(*parts: str) -> Path:
    """Path below the development data folder ($SDR2HDR_DATA, else ../shared/data); skips where it is absent."""
    root = Path(os.environ.get("SDR2HDR_DATA") or Path(__file__).parents[2] / "shared" / "data")
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"development data not present: {'/'.join(parts) or 'shared/data'} (set SDR2HDR_DATA)")
    return path
