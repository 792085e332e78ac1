"""Task: segments and the source's other streams into the final container, under a temporary name."""

from __future__ import annotations

from agent.tasks.messages import MuxRequest, MuxResult
from agent.workspace import Workspace
from toolchain.events import Emit
from toolchain.video.hdr_metadata import HdrMetadata
from toolchain.video.mux import finalise


def mux(request: MuxRequest, _: Emit) -> MuxResult:
    """Raises EnvironmentNotReady when the disk is full; the temporary file is removed on any failure.

    The mastering display is the one the picture was bounded to: P3-D65 primaries and the job's peak.
    """
    rendered = request.rendered
    metadata = None
    if rendered.max_cll is not None and rendered.max_fall is not None:
        metadata = HdrMetadata(
            mastering_max_nits=request.peak_nits, max_cll=rendered.max_cll, max_fall=rendered.max_fall
        )
    report = finalise(
        rendered.segments,
        request.path,
        request.facts,
        request.output,
        metadata,
        request.temporary,
        Workspace(request.work).load_scan().last_duration,
    )
    return MuxResult(warnings=report.warnings)
