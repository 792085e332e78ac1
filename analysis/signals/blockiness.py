"""Blocking: steps that sit on a regular grid in both directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Grid periods in pixels: 8 as coded; the others are an 8 px grid after common upscales (4/3, 3/2, 2, 9/4, 3).
PERIODS = (8.0, 32.0 / 3.0, 12.0, 16.0, 18.0, 24.0)
LINE_STEP = 4  # every fourth line tells as much about the grid as all of them
STEP_CEILING = 16.0  # larger steps are picture, not codec: they count as none
FLOOR = 0.15  # codes: keeps a flat picture at 1, and steps too faint to see out of it
MIN_PERIODS = 6


def blockiness(luma: NDArray[np.float32]) -> float:
    """Energy of steps on a grid over the energy off it, the weaker of both directions; 1 = no grid, more is worse.

    `luma` is HxW float32 in 8-bit codes at native resolution. The grid may start anywhere; an 8 px grid that was
    scaled by 4/3, 3/2, 2, 9/4 or 3 is found too. Flat and too small pictures give 1.
    """
    across = _step_profile(luma[::LINE_STEP])
    down = _step_profile(np.ascontiguousarray(luma[:, ::LINE_STEP].T))
    ratios = [min(_grid_ratio(across, period), _grid_ratio(down, period)) for period in PERIODS]
    return max(1.0, *ratios)


def _step_profile(lines: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean isolated step at each boundary between pixels: how far it stands above the slopes beside it."""
    if lines.shape[1] < 4:
        return np.zeros(0)
    step = np.abs(np.diff(lines, axis=1))
    isolated = step[:, 1:-1] - 0.5 * (step[:, :-2] + step[:, 2:])
    isolated[(isolated < 0.0) | (isolated > STEP_CEILING)] = 0.0
    return isolated.mean(axis=0, dtype=np.float64)


def _grid_ratio(profile: NDArray[np.float64], period: float) -> float:
    """Largest mean over one phase of the period, over the median phase."""
    if len(profile) < MIN_PERIODS * period:
        return 1.0
    phases = int(period)
    phase = (np.arange(len(profile)) % period * (phases / period)).astype(np.intp)
    energy = np.bincount(phase, profile, phases) / np.bincount(phase, minlength=phases)
    return float((energy.max() + FLOOR) / (np.median(energy) + FLOOR))
