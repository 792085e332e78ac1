"""Task: segments and the source's other streams into the final container, under a temporary name."""

from __future__ import annotations

from agent.tasks.messages import MuxRequest, MuxResult
from agent.workspace import Workspace
from toolchain.errors import AgentError
from toolchain.events import Emit
from toolchain.files import sha256_file
from toolchain.video.hdr_metadata import HdrMetadata
from toolchain.video.mux import MuxReport, finalise
from toolchain.video.readback import verify_container

_NAMED_PROBLEMS = 3


def mux(request: MuxRequest, _: Emit) -> MuxResult:
    """Write the file and read it back. The temporary file is removed on any failure.

    The mastering display is the one the picture was bounded to: P3-D65 primaries and the job's peak. Raises
    EnvironmentNotReady when the disk is full, AgentError when the file does not hold what it should.
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
    try:
        _read_back(request, metadata, report)
    except BaseException:
        request.temporary.unlink(missing_ok=True)
        raise
    return MuxResult(warnings=report.warnings, sha256=sha256_file(request.temporary))


def _read_back(request: MuxRequest, metadata: HdrMetadata | None, report: MuxReport) -> None:
    """AgentError unless the file's tags, metadata and streams are those asked for and every source frame is there."""
    video = request.facts.video
    assert video is not None and video.time_base is not None  # noqa: S101 - finalise refuses such a source
    pts = Workspace(request.work).load_pts().tolist()
    problems = verify_container(
        request.temporary, request.output, metadata, pts, video.time_base, report, video.display_matrix
    )
    if problems:
        more = f" (and {len(problems) - _NAMED_PROBLEMS} more)" if len(problems) > _NAMED_PROBLEMS else ""
        named = "; ".join(problems[:_NAMED_PROBLEMS])
        raise AgentError(f"the written file does not hold what it should: {named}{more}")
