"""`agent verify SRC OUT`: the verdict on a file of any origin."""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.comparable import require_comparable
from agent.report.record import ReportFacts, Verification, identify_file, summarise
from agent.report.write import check_report_path, write_report
from agent.requests import scan_request
from agent.tasks.messages import ProbeRequest, ScanSummary, VerifyRequest
from agent.worker import Worker
from analysis.schema import Verdict
from analysis.selection.profile import load_profile
from analysis.vqa.registry import stage_metric
from analysis.vqa.spec import Limits, load_limits
from toolchain.errors import AlreadyHdr, InputError, UsageError
from toolchain.events import Emit, Warned
from toolchain.models.spec import Controls
from toolchain.video.facts import MediaFacts

MODEL_ID = "file"
"""Stands for whatever made the output."""

PROFILE = "balanced"
"""Whose windows and controls hold where nothing else is said."""


@dataclass(frozen=True)
class Asked:
    """What was asked of `agent verify`, as in its options. None: the profile's controls, the program's limits, no
    report."""

    source: Path
    output: Path
    peak_nits: float | None = None
    mid_gain_ev: float | None = None
    limits: Path | None = None
    report: Path | None = None
    structure: bool = False
    overwrite: bool = False

    @property
    def controls(self) -> Controls:
        profile = load_profile(PROFILE)
        return Controls(
            peak_nits=profile.peak_nits if self.peak_nits is None else self.peak_nits,
            mid_gain_ev=profile.mid_gain_ev if self.mid_gain_ev is None else self.mid_gain_ev,
        )

    @property
    def command(self) -> str:
        """The command line that does the same again."""
        words = ["agent", "verify", str(self.source), str(self.output)]
        words += ["--peak-nits", f"{self.peak_nits:g}"] if self.peak_nits is not None else []
        words += ["--mid-gain", f"{self.mid_gain_ev:g}"] if self.mid_gain_ev is not None else []
        words += ["--limits", str(self.limits)] if self.limits is not None else []
        words += ["--report", str(self.report)] if self.report is not None else []
        words += ["--structure"] if self.structure else []
        return shlex.join(words)


def verify_files(asked: Asked, emit: Emit) -> Verification:
    """Scan the source, then judge the output against it; write the report if one was asked for.

    Nothing else is left on disk. Raises UsageError for one file given twice, limits that cannot be used or a report's
    name that is taken, InputError when either file cannot be read, the source is HDR, or the two cannot be held
    against each other (`agent.comparable`).
    """
    if asked.source.samefile(asked.output):
        raise UsageError(f"SRC and OUT are the same file, {asked.source}: give the HDR file made of it as OUT")
    limits = load_limits(asked.limits)
    if asked.report is not None:
        check_report_path(asked.report, asked.overwrite, (asked.source, asked.output))
    with tempfile.TemporaryDirectory(prefix="sdr2hdr-verify-") as folder:
        work = Path(folder)
        source, output, verdict = _judge(asked, work, emit)
        verification = _verification(asked, limits, source, output, verdict)
        if asked.report is not None:
            facts = ReportFacts(
                command=asked.command,
                **{name: getattr(verification, name) for name in ReportFacts.model_fields if name != "command"},
            )
            write_report(asked.report, verification, facts, work / "evidence", overwrite=asked.overwrite)
    return verification


def _judge(asked: Asked, work: Path, emit: Emit) -> tuple[MediaFacts, MediaFacts, Verdict]:
    """Facts of both files and the verdict. All that touches media happens in the worker and its limits."""
    profile = load_profile(PROFILE)
    with Worker(work / "worker.log") as worker:
        source = _probe_source(asked.source, worker, emit)
        output = worker.call("probe", ProbeRequest(path=asked.output, require_sdr=False), MediaFacts, emit)
        for warning in require_comparable(source, output):
            emit(Warned(message=warning))
        worker.call("scan", scan_request(asked.source, profile, work, source), ScanSummary, emit)
        if asked.report is not None:
            (work / "evidence").mkdir()
        request = VerifyRequest(
            source=asked.source,
            facts=source,
            output=asked.output,
            work=work,
            model_id=MODEL_ID,
            controls=asked.controls,
            how=profile.verify.model_copy(update={"structure": asked.structure}),
            limits=asked.limits,
            evidence=work / "evidence" if asked.report is not None else None,
        )
        # Whatever made OUT: this is the first time that its pictures are decoded.
        return source, output, worker.call("verify", request, Verdict, emit, foreign=True)


def _probe_source(path: Path, worker: Worker, emit: Emit) -> MediaFacts:
    try:
        return worker.call("probe", ProbeRequest(path=path), MediaFacts, emit)
    except AlreadyHdr as error:
        reason = str(error).removeprefix(f"{path} is HDR already: ").split(";")[0]
        raise InputError(f"{path} is HDR already ({reason}): SRC must be the SDR source of OUT") from error


def _verification(
    asked: Asked, limits: Limits, source: MediaFacts, output: MediaFacts, verdict: Verdict
) -> Verification:
    return Verification.model_validate(
        {
            **verdict.model_dump(),
            "summary": summarise(verdict),
            "exit_code": 0 if verdict.passed else 4,
            "gain_noise": limits.acceptance_noise,
            "gain_unit": stage_metric("verify").unit,
            "controls": asked.controls.model_dump(),
            "limits": limits.model_dump(),
            "source": identify_file(source),
            "output": identify_file(output),
        }
    )
