"""A plan's restoring steps as what runs them: FFmpeg filters in the decoder's chain, then our own frame by frame.

Filters ahead of the first step of our own (a network, deband) run while decoding. From there on every step takes one
frame and gives one, in the plan's order.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from av.filter import Graph
from av.video.frame import VideoFrame

from toolchain.models.deband import Debander
from toolchain.models.registry import get_spec
from toolchain.models.restore import restore_filters
from toolchain.models.restorer import Restorer
from toolchain.models.sessions import session
from toolchain.models.spec import RuntimeName
from toolchain.pipeline import FrameRestorer
from toolchain.video.decode import Filters, decoded_format, pts_of
from toolchain.video.describe import buffer_arguments

Step = tuple[str, Mapping[str, float]]
"""A restoring model's id and its parameters."""


@dataclass(frozen=True)
class Restoration:
    """`filters` for the decoder, then `restorers` in order."""

    filters: Filters
    restorers: tuple[FrameRestorer, ...]


def restoration(steps: Sequence[Step], runtime: RuntimeName | None) -> Restoration:
    """Raises UsageError for what is no restoring model, EnvironmentNotReady where a network cannot run."""
    first_own = next((i for i, (model_id, _) in enumerate(steps) if _is_own(model_id)), len(steps))
    filters = [pair for model_id, values in steps[:first_own] for pair in restore_filters(model_id, dict(values))]
    restorers = (_restorer(model_id, values, runtime) for model_id, values in steps[first_own:])
    return Restoration(filters, tuple(restorers))


def _is_own(model_id: str) -> bool:
    spec = get_spec(model_id)
    return spec.task == "restore" and not spec.filters


def _restorer(model_id: str, parameters: Mapping[str, float], runtime: RuntimeName | None) -> FrameRestorer:
    if model_id == "deband":
        return Debander(parameters)
    if get_spec(model_id).weights:
        return Restorer(model_id, parameters, session(model_id, "restore", runtime))
    return FilterRestorer(restore_filters(model_id, dict(parameters)))


class FilterRestorer:
    """FFmpeg filters that give one frame for each frame, at once: of the catalogue's, all but bwdif."""

    def __init__(self, filters: Filters):
        self._filters = filters
        self._graph: Graph | None = None
        self._turn = threading.Lock()

    def restore(self, frame: VideoFrame) -> VideoFrame:
        """The filtered frame at 10 bits or more, with the time of its source."""
        pts, time_base = pts_of(frame), frame.time_base
        with self._turn:
            self._graph = self._graph or self._built(frame)
            self._graph.vpush(frame)
            result = self._graph.vpull()
        result.pts, result.time_base = pts, time_base
        return result

    def _built(self, frame: VideoFrame) -> Graph:
        target = ("format", decoded_format(frame.format.name, 10))
        graph = Graph()
        nodes = [graph.add("buffer", buffer_arguments(frame, frame.time_base))]
        nodes += [graph.add(name, arguments) for name, arguments in (target, *self._filters, target)]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph
