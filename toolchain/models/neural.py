"""SDR-to-HDR networks as models of the catalogue: conditioned once a shot, then applied to every frame.

A network that is pointwise once conditioned is baked to a LUT like any curve and cannot flicker. The others take
whole pictures, padded to their size multiple, in overlapping tiles where that changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.color.primaries import convert
from toolchain.color.transfer import bt1886_eotf_inverse, pq_eotf
from toolchain.models.networks.hazards import trained_signal, white_scale
from toolchain.models.sessions import session
from toolchain.models.spec import Controls, FloatArray, ModelSpec, Picture, PixelFunction, RuntimeName, ShotContext
from toolchain.runtimes.base import Session

Floats = NDArray[np.float32]


class OpenSession(Protocol):
    def __call__(
        self, model_id: str, graph: str, runtime: RuntimeName | None = None, shape: tuple[int, int] | None = None
    ) -> Session: ...


CHUNK_SIDE = 256
"""Pixels are rendered in squares of this side by pointwise networks: one shape for every runtime."""

FLAT_SIDE = 32
"""A colour asked of a network that looks around itself is shown to it as a flat field of this side."""

FLAT_BATCH = 64

_GREYS = ((1 - np.cos(np.linspace(0, np.pi, 2 * FLAT_BATCH))) / 2).astype(np.float32)
GREY_RAMP = np.repeat(_GREYS[:, np.newaxis], 3, axis=1)
"""Greys whose flat fields are rendered once a shot; those between are interpolated, for the guards ask for thousands.
Close at both ends, where networks turn most: within two ten-bit codes of most networks, 17 of the worst, lsn-3dm."""

TILE_SIDE = 1024

LEAST_SIDE = 16
"""Pictures that are smaller, or become so for the conditioner, are continued to it: `GraphSpec.least_size`."""


@dataclass(frozen=True)
class NeuralModel:
    """A published network. `open_session(model_id, graph, runtime, shape)` gives what runs it."""

    spec: ModelSpec
    open_session: OpenSession = session

    def bind(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        """Numbers are the mean over the shot's key frames; without any, those of a ramp over the whole range.

        A spatial network's function takes one picture (H, W, 3), or colours (N, 3) that it sees as flat fields.
        """
        numbers = self._numbers(shot, controls.runtime)
        render = self.open_session(self.spec.id, "render", controls.runtime, self._render_shape(shot))
        scale = np.float32(white_scale(self.spec.id))
        looks_around = not self.spec.tiling or self.spec.overlap_px > 0
        flat_greys = _render_flat(render, GREY_RAMP, numbers) if looks_around else None

        def expand(rgb: FloatArray) -> FloatArray:
            signal = trained_signal(self.spec.id, bt709_signal(rgb))
            if rgb.ndim == 3 and not self.spec.pointwise:
                pq = _render_picture(render, signal, numbers, self.spec)
            elif flat_greys is not None:
                pq = _flat_colours(render, signal, numbers, flat_greys)
            else:
                pq = _render_pixels(render, signal, numbers)
            return pq_eotf(np.clip(pq * scale, 0, 1))

        return expand

    def _numbers(self, shot: ShotContext | None, runtime: RuntimeName | None) -> Floats:
        """(1, K): what the network makes of the shot's pictures, averaged."""
        condition = self.open_session(self.spec.id, "condition", runtime)
        pictures = shot.pictures if shot and shot.pictures else (_ramp(),)
        full_size = shot.full_size if shot and shot.pictures else pictures[0].shape[:2]
        rows = [condition.run({"small": self._small(picture, full_size)})["numbers"] for picture in pictures]
        return np.stack(rows).mean(axis=0, dtype=np.float32)

    def _render_shape(self, shot: ShotContext | None) -> tuple[int, int] | None:
        """(height, width) that `render` is given for the frames of this shot."""
        if self.spec.pointwise:
            return CHUNK_SIDE, CHUNK_SIDE
        if shot is None:
            return None
        seen = next(_tiles(*shot.full_size, self.spec))[1]
        height, width = (_padded_side(span.stop - span.start, self.spec.size_multiple) for span in seen)
        return height, width

    def _small(self, picture: Picture, full_size: tuple[int, ...]) -> Floats:
        """(1, 3, h, w): the conditioner's picture, as the network defines it where the whole frame is at hand."""
        import cv2
        import torch

        from toolchain.models.networks.base import SdrToHdrNetwork
        from toolchain.models.networks.registry import build_network

        network = build_network(self.spec.id)
        assert isinstance(network, SdrToHdrNetwork)  # noqa: S101 - the registry's networks of this task are
        signal = bt709_signal(picture)
        if signal.shape[:2] == tuple(full_size):
            whole = _at_least(signal, LEAST_SIDE * network.condition_scale)
            with torch.inference_mode():
                return network.shrink(torch.from_numpy(_planar(whole))).numpy()
        height, width = (max(1, round(side / network.condition_scale)) for side in full_size)
        if width < signal.shape[1]:
            signal = cv2.resize(signal, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
        return _planar(_at_least(signal, LEAST_SIDE))


def bt709_signal(rgb: FloatArray) -> Floats:
    """(..., 3) display-linear BT.2020 -> float32 BT.709 R'G'B' in [0, 1], what SDR networks were trained on."""
    return bt1886_eotf_inverse(np.clip(convert(rgb, "bt2020", "bt709"), 0, 1)).astype(np.float32, copy=False)


def published_still(model_id: str, signal: FloatArray) -> Floats:
    """HxWx3 BT.709 R'G'B' in [0, 1] -> HxWx3 PQ BT.2020 R'G'B' in [0, 1], by the network's own definition.

    Whole picture, float32 torch, no control, no guard and no correction: what the authors' program gives.
    """
    import torch

    from toolchain.models.networks.base import SdrToHdrNetwork
    from toolchain.models.networks.whole import run_whole
    from toolchain.models.registry import get_spec
    from toolchain.models.weights import load_network

    network = load_network(get_spec(model_id)).network
    assert isinstance(network, SdrToHdrNetwork)  # noqa: S101 - the registry's networks of this task are
    with torch.inference_mode():
        pq = run_whole(network, torch.from_numpy(_planar(signal.astype(np.float32))))
    return np.ascontiguousarray(pq[0].numpy().transpose(1, 2, 0))


def _planar(signal: Floats) -> Floats:
    """HxWx3 -> (1, 3, H, W), contiguous."""
    return np.ascontiguousarray(signal.transpose(2, 0, 1))[np.newaxis]


def _ramp() -> Picture:
    """A grey ramp over the whole range, for a shot that nobody looked at."""
    light = np.linspace(0, 1, 256, dtype=np.float32) ** np.float32(2.4)
    return np.repeat(np.tile(light, (144, 1))[..., np.newaxis], 3, axis=2)


def _render_pixels(render: Session, signal: Floats, numbers: Floats) -> Floats:
    """A pointwise network over any list of pixels, in squares of one size."""
    pixels = signal.reshape(-1, 3)
    chunk = CHUNK_SIDE * CHUNK_SIDE
    result = np.empty_like(pixels)
    for start in range(0, len(pixels), chunk):
        part = pixels[start : start + chunk]
        square = np.zeros((chunk, 3), np.float32)
        square[: len(part)] = part
        rgb = np.ascontiguousarray(square.T).reshape(1, 3, CHUNK_SIDE, CHUNK_SIDE)
        pq = render.run({"rgb": rgb, "numbers": numbers})["pq"]
        result[start : start + chunk] = pq.reshape(3, -1).T[: len(part)]
    return result.reshape(signal.shape)


def _flat_colours(render: Session, signal: Floats, numbers: Floats, flat_greys: Floats) -> Floats:
    """Colours (N, 3) as flat fields: greys from those rendered already, the others one by one."""
    is_grey = np.ptp(signal, axis=1) < 1e-4
    answers = np.empty_like(signal)
    for channel in range(3):
        answers[is_grey, channel] = np.interp(signal[is_grey, 1], GREY_RAMP[:, 0], flat_greys[:, channel])
    if not is_grey.all():
        answers[~is_grey] = _render_flat(render, signal[~is_grey], numbers)
    return answers


def _render_flat(render: Session, signal: Floats, numbers: Floats) -> Floats:
    """Colours (N, 3) as flat fields; the centre of each answer."""
    colours, index = np.unique(signal, axis=0, return_inverse=True)
    answers = np.empty_like(colours)
    for start in range(0, len(colours), FLAT_BATCH):
        batch = colours[start : start + FLAT_BATCH, :, None, None]
        fields = np.ascontiguousarray(np.broadcast_to(batch, (len(batch), 3, FLAT_SIDE, FLAT_SIDE)))
        pq = render.run({"rgb": fields, "numbers": np.repeat(numbers, len(batch), axis=0)})["pq"]
        answers[start : start + FLAT_BATCH] = pq[:, :, FLAT_SIDE // 2, FLAT_SIDE // 2]
    return answers[index.reshape(-1)]


def _render_picture(render: Session, signal: Floats, numbers: Floats, spec: ModelSpec) -> Floats:
    """One picture, padded to the size multiple by reflection, whole or in tiles."""
    height, width = signal.shape[:2]
    result = np.empty_like(signal)
    for inner, outer in _tiles(height, width, spec):
        part = signal[outer]
        padded = _padded(part, spec.size_multiple)
        pq = render.run({"rgb": _planar(padded), "numbers": numbers})["pq"][0].transpose(1, 2, 0)
        top, left = inner[0].start - outer[0].start, inner[1].start - outer[1].start
        rows, columns = inner[0].stop - inner[0].start, inner[1].stop - inner[1].start
        result[inner] = pq[top : top + rows, left : left + columns]
    return result


Window = tuple[slice, slice]


def _tiles(height: int, width: int, spec: ModelSpec) -> Iterator[tuple[Window, Window]]:
    """(what a tile gives, what it must see), whole where tiling would change the picture or is not needed."""
    if not spec.tiling or max(height, width) <= TILE_SIDE:
        whole = (slice(0, height), slice(0, width))
        yield whole, whole
        return
    for rows in _spans(height, spec):
        for columns in _spans(width, spec):
            yield (rows[0], columns[0]), (rows[1], columns[1])


def _spans(length: int, spec: ModelSpec) -> Iterator[tuple[slice, slice]]:
    """Tiles along one side. All see equally much, for a runtime makes itself ready for each shape, and from a size
    multiple on, where strided layers fall on the same grid."""
    multiple = spec.size_multiple
    margin = -(-spec.overlap_px // multiple) * multiple
    padded = -(-length // multiple) * multiple
    count = -(-padded // TILE_SIDE)
    step = -(-padded // (count * multiple)) * multiple
    seen = min(step + 2 * margin, padded)
    for start in range(0, length, step):
        first = min(max(0, start - margin), padded - seen)
        yield slice(start, min(start + step, length)), slice(first, min(first + seen, length))


def _padded_side(length: int, multiple: int) -> int:
    return -(-max(length, LEAST_SIDE) // multiple) * multiple


def _padded(part: Floats, multiple: int) -> Floats:
    """Reflected at the bottom and right up to what the network takes; repeated where it is too small to reflect."""
    down, across = (_padded_side(side, multiple) - side for side in part.shape[:2])
    if not (down or across):
        return part
    mode = "reflect" if down < part.shape[0] and across < part.shape[1] else "edge"
    return np.pad(part, ((0, down), (0, across), (0, 0)), mode=mode)


def _at_least(signal: Floats, side: int) -> Floats:
    """A picture that is too small, mirrored outwards until both sides are long enough: its statistics stay."""
    down, across = (max(0, side - length) for length in signal.shape[:2])
    return np.pad(signal, ((0, down), (0, across), (0, 0)), mode="symmetric")
