"""How differently colourists finish the same curve: training grades are trimmed, held-out ones are not.

A model that has seen eight curves in one strength each learns those curves; one that has seen them bent, lifted and
muted has to look at the picture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.data.grading import GradeRecipe


def bent(recipe: GradeRecipe, rng: np.random.Generator) -> GradeRecipe:
    """The curve with another strength, 0.6 to 1.6; only some curves have one."""
    return replace(recipe, strength=float(np.exp2(rng.uniform(np.log2(0.6), np.log2(1.6)))))


def muted(recipe: GradeRecipe, rng: np.random.Generator) -> GradeRecipe:
    """A look with little colour, as it was meant: 0.2 to 0.7 of the master's."""
    return replace(recipe, saturation=float(rng.uniform(0.2, 0.7)))


def trimmed(signal: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W, 3) R'G'B' in [0, 1] -> the same after slope, offset and power, alike in all channels, and some contrast.

    The first three are those of the ASC Color Decision List 1.2; contrast is a share of the signal's own smoothstep.
    """
    slope, offset, power = rng.uniform(0.88, 1.06), rng.uniform(-0.03, 0.05), rng.uniform(0.8, 1.3)
    contrast = max(0.0, float(rng.uniform(-0.3, 0.5)))
    out = np.clip(signal * np.float32(slope) + np.float32(offset), 0.0, 1.0) ** np.float32(power)
    return (out + np.float32(contrast) * (out * out * (3.0 - 2.0 * out) - out)).astype(np.float32)
