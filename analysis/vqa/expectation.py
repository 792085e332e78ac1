"""What the HDR master of an SDR picture is likely to be, tone by tone, and how sure that is.

A small network, trained on graded masters and the SDR pictures made of them (`training.expectation`), reads how a
picture's tones are spread: a hard edge at white tells of clipped highlights, a soft shoulder of compressed ones. It
answers for each of 32 tones with the PU21 level a master has there and a standard deviation. It knows nothing of the
output, so no model can please it but by coming near to what masters are. With it comes how the errors of two tones go
together: masters' mid-tones are anchored, so a shadow that is too dark goes with highlights that are too bright.

The master is taken as everywhere here: mid-tones at the SDR picture's with white at 203 nits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from analysis.vqa.view import SourceView
from toolchain.color.transfer import BT1886_GAMMA, REFERENCE_WHITE_NITS

Values = NDArray[np.float32]

TONES = 32
TONE_STEP = 1 / TONES
"""In BT.1886 signal; what is above white belongs to the last tone."""

PU_SCALE = 100.0
"""The network counts in hundreds of PU21 units."""

LOG_SPREAD = (-4.0, 2.0)
SIGNATURE_SIDE = 128
"""Longer side of the picture that a signature is read off: about that of the pictures that trained. Larger ones have
finer lights and grain, and so other histograms of the same scene."""
SIGNAL_TOP = 1.05
LEVELS, TOP_LEVELS, COLOUR_LEVELS = 64, 16, 16
TOP_FROM = 0.9
PERCENTILES = (1.0, 50.0, 99.0, 99.9)
SIGNATURE_SIZE = 2 * LEVELS + 2 * TOP_LEVELS + COLOUR_LEVELS + 2 + len(PERCENTILES)


@dataclass(frozen=True)
class SourceTones:
    """One source frame: its signature for the network, and which of its half-size pixels have which tone."""

    signature: Values
    """Roots of histograms of luma and of the largest component, mean chroma by tone, a few moments."""
    index: NDArray[np.int32]
    """The tone of each half-size pixel, flat."""
    count: NDArray[np.int64]

    @property
    def share(self) -> NDArray[np.float64]:
        return self.count / self.count.sum()

    def mean(self, values: Values) -> NDArray[np.float64]:
        """Mean of a half-size picture over each tone; 0 where a tone is absent."""
        return np.bincount(self.index, values.ravel(), TONES) / np.maximum(self.count, 1)


def source_tones(source: SourceView) -> SourceTones:
    """The tones of a source; shared by all that ask through `SourceView.once`."""
    index = np.minimum((_luma(source) / TONE_STEP).astype(np.int32), TONES - 1).ravel()
    return SourceTones(_signature(_small(source)), index, np.bincount(index, minlength=TONES))


def _small(source: SourceView) -> SourceView:
    height, width = source.rgb.shape[:2]
    scale = SIGNATURE_SIDE / max(height, width)
    if scale >= 1:
        return source
    size = (max(round(width * scale), 2), max(round(height * scale), 2))
    return SourceView(np.asarray(cv2.resize(source.rgb, size, interpolation=cv2.INTER_AREA), np.float32))


def _luma(source: SourceView) -> Values:
    light = np.clip(source.half_y / np.float32(REFERENCE_WHITE_NITS), 0, None)
    return np.minimum(light ** np.float32(1 / BT1886_GAMMA), np.float32(SIGNAL_TOP))


def _signature(source: SourceView) -> Values:
    signal, luma = source.half_signal / np.float32(219), _luma(source)
    largest, smallest = np.clip(signal.max(axis=2), 0, SIGNAL_TOP), np.clip(signal.min(axis=2), 0, 1)
    colour = np.minimum((luma / SIGNAL_TOP * COLOUR_LEVELS).astype(np.int32), COLOUR_LEVELS - 1).ravel()
    pixels = np.maximum(np.bincount(colour, minlength=COLOUR_LEVELS), 1)
    signature = np.concatenate(
        [
            *(np.sqrt(_shares(values, LEVELS, 0.0)) for values in (luma, largest)),
            *(np.sqrt(_shares(values, TOP_LEVELS, TOP_FROM)) for values in (luma, largest)),
            np.bincount(colour, (largest - smallest).ravel(), COLOUR_LEVELS) / pixels,
            [luma.mean(dtype=np.float64), luma.std(dtype=np.float64)],
            np.percentile(luma, PERCENTILES),
        ]
    )
    return signature.astype(np.float32)


def _shares(values: Values, levels: int, low: float) -> NDArray[np.float64]:
    return np.histogram(values, levels, (low, SIGNAL_TOP))[0] / values.size


class Expectation(Protocol):
    """`(one frame's signature, the mean signature of the video) -> (mean, spread)`, each float32 (TONES,) in PU21.

    The mean is what the master has over the source at 203-nit white. The video's signature is the frame's own where
    no more is known.
    """

    def __call__(self, frame: Values, video: Values) -> tuple[Values, Values]: ...


@dataclass(frozen=True)
class TrainedExpectation:
    """The network: three dense layers with SiLU between."""

    centre: Values
    scale: Values
    layers: tuple[tuple[Values, Values], ...]
    together: Values
    """Correlation of the errors of two tones, (TONES, TONES), on titles that did not train."""

    def __call__(self, frame: Values, video: Values) -> tuple[Values, Values]:
        x = (np.concatenate([frame, video]) - self.centre) / self.scale
        for number, (weight, bias) in enumerate(self.layers):
            x = weight @ x + bias
            if number + 1 < len(self.layers):
                x = x / (1 + np.exp(-np.maximum(x, -80)))  # beyond, float32 has no such number
        spread = np.exp(np.clip(x[TONES:], *LOG_SPREAD))
        return np.asarray(x[:TONES] * PU_SCALE, np.float32), np.asarray(spread * PU_SCALE, np.float32)


@cache
def shipped_expectation() -> TrainedExpectation:
    """The network that comes with the product (analysis/vqa/shipped/expectation.safetensors and its card)."""
    return read_expectation((files("analysis.vqa.shipped") / "expectation.safetensors").read_bytes())


def read_expectation(data: bytes) -> TrainedExpectation:
    """The network in a safetensors file: `centre`, `scale`, `together`, and `weight<n>`, `bias<n>` of each layer."""
    tensors = {name: np.asarray(tensor, np.float32) for name, tensor in load(data).items()}
    count = sum(name.startswith("weight") for name in tensors)
    layers = tuple((tensors[f"weight{n}"], tensors[f"bias{n}"]) for n in range(count))
    return TrainedExpectation(tensors["centre"], tensors["scale"], layers, tensors["together"])
