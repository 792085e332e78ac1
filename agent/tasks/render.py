"""Task: render the whole file with the chosen model into segments."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray

from agent.frames import ShotContexts
from agent.tasks.messages import RenderRequest, RenderResult
from agent.workspace import Workspace
from toolchain import pipeline
from toolchain.events import Emit
from toolchain.expanders import Expander, GridExpander, MaskOf, PictureExpander, TableExpander
from toolchain.lut import Lut3d, bake
from toolchain.models.guards import bind_guarded, bind_unguarded
from toolchain.models.lumen_local import STACK_SIZE, LumenLocal, gain_members, small_from_planes
from toolchain.models.registry import get_model, get_spec
from toolchain.models.sessions import running
from toolchain.models.spec import PixelFunction
from toolchain.pipeline import RenderJob, frame_spec, lut_format
from toolchain.restoration import restoration
from toolchain.segments import plan_segments
from toolchain.video.decode import deinterlace_filters, planes
from toolchain.video.facts import VideoFacts
from toolchain.video.shots import Shot

SEGMENT_S = 4.0
"""Shortest segment (but the last): long enough for the encoder's rate control, short enough to lose little."""


def render(request: RenderRequest, emit: Emit) -> RenderResult:
    """Render what is missing. Raises InputError when the source changed, EnvironmentNotReady on a full disk."""
    job = _job(request)
    reports = pipeline.render(job, emit)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return RenderResult(
        segments=tuple(job.segment_path(segment) for segment in job.segments),
        max_cll=max((report.max_cll for report in reports if report.max_cll is not None), default=None),
        max_fall=max((report.max_fall for report in reports if report.max_fall is not None), default=None),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 3),
        runtimes=running(),
    )


def _job(request: RenderRequest) -> RenderJob:
    workspace = Workspace(request.work)
    scan, pts = workspace.load_scan(), workspace.load_pts()
    video = request.facts.video
    assert video is not None and video.time_base is not None  # noqa: S101 - probe refuses files without a picture
    steps = [(step.model_id, step.parameters) for step in request.plan.restore]
    restored = restoration(steps, request.controls.runtime)
    return RenderJob(
        source=request.path,
        video=video,
        pts=pts,
        segments=plan_segments(scan.shots, pts.tolist(), video.time_base, SEGMENT_S),
        filters=(*deinterlace_filters(scan.field_order), *restored.filters),
        restorers=restored.restorers,
        expander=_expander(request, workspace, video, scan.shots),
        output=request.output,
        folder=workspace.segments(request.candidate),
    )


def _expander(request: RenderRequest, workspace: Workspace, video: VideoFacts, shots: Sequence[Shot]) -> Expander:
    """Tables for a model that is pointwise once bound to its shot, whole pictures for the others."""
    spec = get_spec(request.candidate)
    contexts = ShotContexts(workspace, video)
    frame_rate, mask_of = float(video.frame_rate or 25), cache(workspace.load_mask)
    plain = request.controls.model_copy(update={"extra": {}})

    def bind_shot(shot: Shot) -> PixelFunction:
        return bind_guarded(request.candidate, contexts.of(shot.index), request.controls)

    def baked(expand: PixelFunction) -> Lut3d:
        return bake(expand, video.color, lut_format(request.output), request.lut_size)

    nothing = bind_guarded("direct203", None, plain)
    model = get_model(request.candidate)
    if isinstance(model, LumenLocal):
        return _grid_expander(model, request, contexts, video, shots, mask_of, nothing)
    if not spec.pointwise:
        return PictureExpander(shots, frame_rate, bind_shot, mask_of, nothing)

    @cache
    def fixed_table() -> Lut3d:
        return baked(bind_guarded(request.candidate, None, request.controls))

    def table_of(shot: Shot) -> Lut3d:
        return baked(bind_shot(shot)) if spec.adaptive else fixed_table()

    return TableExpander(shots, frame_rate, table_of, mask_of, baked(nothing))


def _grid_expander(
    model: LumenLocal,
    request: RenderRequest,
    contexts: ShotContexts,
    video: VideoFacts,
    shots: Sequence[Shot],
    mask_of: MaskOf,
    nothing: PixelFunction,
) -> Expander:
    """The shot's curve at several gains as a stack of tables, and the network's grid for every frame."""
    controls, form = request.controls, lut_format(request.output)

    def stack_of(shot: Shot) -> tuple[Lut3d, ...]:
        members = gain_members(bind_unguarded(model.spec.id, contexts.of(shot.index), controls), controls)
        return tuple(bake(member, video.color, form, STACK_SIZE) for member in members)

    def predict(frame: av.VideoFrame) -> NDArray[np.float32]:
        small = small_from_planes(planes(frame), frame_spec(frame, video, request.output))
        return model.grid_for(small, controls.runtime)

    graphics_table = bake(nothing, video.color, form, STACK_SIZE)
    return GridExpander(shots, float(video.frame_rate or 25), stack_of, predict, mask_of, graphics_table)
