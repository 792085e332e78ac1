"""Apply a catalogue model to a still picture."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.outputs import check_input
from toolchain.color.primaries import convert
from toolchain.color.transfer import bt1886_eotf
from toolchain.errors import EnvironmentNotReady, InputError, UsageError
from toolchain.files import write_atomic
from toolchain.lut import expand_still
from toolchain.models.guards import bind_guarded
from toolchain.models.neural import NeuralModel, published_still
from toolchain.models.registry import get_model, get_spec
from toolchain.models.spec import Controls, ShotContext, ShotTone
from toolchain.video.facts import ColorInterpretation

STILL_COLOR = ColorInterpretation(matrix="rgb", primaries="bt709", range="full", chroma_location="center")
_TONE_BINS = 256
_MAX_PIXELS = 1 << 26
"""8192 x 8192; in float64 such a picture takes 1.5 GiB."""
_BT709_LUMA = (0.2126, 0.7152, 0.0722)


PUBLISHED = Controls(peak_nits=1000.0, mid_gain_ev=None)


def apply_to_still(model_id: str, image: Path, output: Path, controls: Controls | None, overwrite: bool) -> None:
    """Write the PQ BT.2020 R'G'B' signal of `image` as float32 HxWx3 in [0, 1] to `output` (.npy).

    `controls` None: the model as published, which for a network is its authors' definition and nothing besides; with
    controls, anchored, corrected and guarded as in a job. `image` holds 8- or 16-bit gamma-coded BT.709 R'G'B', full
    range. Raises InputError for a file that is not such a picture, UsageError for a model that does not expand or an
    output that exists, EnvironmentNotReady for one that is not installed.
    """
    if get_spec(model_id).task != "sdr2hdr":
        raise UsageError(f"model {model_id} restores and does not expand: see `agent models list` for sdr2hdr models")
    if os.path.lexists(output) and not overwrite:
        raise UsageError(f"{output} exists already: pass --overwrite or choose another output")
    if not output.resolve().parent.is_dir():
        raise UsageError(f"the output folder {output.resolve().parent} does not exist: create it first")
    signal = read_still(image)
    buffer = io.BytesIO()
    np.save(buffer, expanded_still(model_id, signal, controls), allow_pickle=False)
    try:
        write_atomic(output, buffer.getvalue())
    except OSError as error:
        raise EnvironmentNotReady(f"cannot write {output}: {error.strerror}") from error


def expanded_still(model_id: str, signal: NDArray[np.float64], controls: Controls | None) -> NDArray[np.float32]:
    """HxWx3 BT.709 R'G'B' in [0, 1] -> HxWx3 PQ BT.2020 R'G'B' in [0, 1]; `controls` as in `apply_to_still`."""
    if controls is None and isinstance(get_model(model_id), NeuralModel):
        return published_still(model_id, signal)
    expand = bind_guarded(model_id, still_context(signal), controls or PUBLISHED)
    return expand_still(signal, expand, STILL_COLOR, "pq", whole=not get_spec(model_id).pointwise)


def read_still(image: Path) -> NDArray[np.float64]:
    """R'G'B' in [0, 1], float64 HxWx3; grey becomes RGB, alpha is ignored. InputError for anything else."""
    data = np.fromfile(check_input(image, "picture"), dtype=np.uint8)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:  # beyond OpenCV's own limits, e.g. 2**30 pixels
        raise InputError(f"{image} is too large or damaged: give a picture of at most {_MAX_PIXELS} pixels") from None
    if pixels is not None and pixels.shape[0] * pixels.shape[1] > _MAX_PIXELS:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise InputError(f"{image} is too large, {size}: give a picture of at most {_MAX_PIXELS} pixels")
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{image} is not an 8- or 16-bit picture: give a PNG file")
    return pixels[..., ::-1].astype(np.float64) / np.iinfo(pixels.dtype).max


def still_context(signal: NDArray[np.float64]) -> ShotContext:
    """One picture as if it were a shot of its own."""
    light = convert(bt1886_eotf(signal), "bt709", "bt2020").astype(np.float32)
    return ShotContext(still_tone(signal), (light,), signal.shape[:2])


def still_tone(signal: NDArray[np.float64]) -> ShotTone:
    """The luma histogram of one picture, as if it were a shot of its own."""
    counts, _ = np.histogram(signal @ np.array(_BT709_LUMA), bins=_TONE_BINS, range=(0.0, 1.0))
    return ShotTone(histogram=tuple(counts / counts.sum()))
