"""`agent verify SRC OUT`: the verdict on a file of any origin."""

from __future__ import annotations

import tempfile
from pathlib import Path

from agent.requests import scan_request
from agent.tasks.messages import ProbeRequest, ScanSummary, VerifyRequest
from agent.worker import Worker
from analysis.schema import Verdict
from analysis.selection.profile import load_profile
from toolchain.errors import InputError
from toolchain.events import Emit
from toolchain.models.spec import Controls
from toolchain.video.facts import MediaFacts

MODEL_ID = "file"
"""Stands for whatever made the output."""


def verify_files(
    source: Path, output: Path, peak_nits: float | None, mid_gain_ev: float | None, emit: Emit
) -> Verdict:
    """Scan `source`, then judge `output` against it. Nothing is left on disk.

    Raises InputError when either cannot be read, the source is HDR, the output is not, or their frames differ in
    number.
    """
    profile = load_profile("balanced")
    controls = Controls(
        peak_nits=profile.peak_nits if peak_nits is None else peak_nits,
        mid_gain_ev=profile.mid_gain_ev if mid_gain_ev is None else mid_gain_ev,
    )
    with (
        tempfile.TemporaryDirectory(prefix="sdr2hdr-verify-") as folder,
        Worker(Path(folder) / "worker.log") as worker,
    ):
        work = Path(folder)
        facts = worker.call("probe", ProbeRequest(path=source, require_sdr=False), MediaFacts, emit)
        if facts.video is None or facts.video.hdr != "none":
            raise InputError(f"{source} is HDR already: SRC must be the SDR source of OUT")
        worker.call("scan", scan_request(source, profile, work, facts), ScanSummary, emit)
        request = VerifyRequest(
            source=source,
            facts=facts,
            output=output,
            work=work,
            model_id=MODEL_ID,
            controls=controls,
            windows=profile.verify.windows,
            frames_per_window=profile.verify.frames_per_window,
        )
        return worker.call("verify", request, Verdict, emit)
