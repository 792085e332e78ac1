"""How inner loops are compiled."""

from __future__ import annotations

from typing import Any

from numba import njit


def jit(function: Any) -> Any:
    """Compiled on first call (seconds), then cached on disk; the GIL is released while it runs.

    fastmath: no NaN or infinity may reach such a function.
    """
    options = {"nogil": True, "fastmath": True, "boundscheck": False, "error_model": "numpy"}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:
        # No folder to cache in can be written (package, $HOME, $NUMBA_CACHE_DIR): compile in each process.
        return njit(function, **options)
