"""What a procedural scene promises."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PEAK_NITS = 1000.0


class Scene(Protocol):
    """A moving HDR picture, wholly determined by its class and seed.

    Mid-tones are authored for 203-nit diffuse white (BT.2408), so an SDR picture shown at 203 nits has the same.
    """

    name: str
    caption: str

    def __init__(self, seed: int = 0) -> None: ...

    def render(self, time_s: float, width: int, height: int) -> NDArray[np.float32]:
        """The picture at `time_s` >= 0: (height, width, 3) BT.2020 display-linear nits in [0, PEAK_NITS]."""
        ...


def phase(time_s: float, period_s: float, offset: float = 0.0) -> float:
    """sin of a steady turn; the scenes' only source of slow movement."""
    return float(np.sin(2.0 * np.pi * (time_s / period_s + offset)))
