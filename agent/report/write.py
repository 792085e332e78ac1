"""A report's file: its name is checked before any work, and it appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from agent.report.evidence import load_evidence
from agent.report.page import render_page
from agent.report.record import ReportFacts
from analysis.schema import Verdict
from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.files import publish, write_atomic

SUFFIXES = (".html", ".htm")


def check_report_path(path: Path, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Raises UsageError for a name a report may not take, EnvironmentNotReady for a folder that cannot be written."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"the report {path} must end in {' or '.join(SUFFIXES)}: choose another name")
    folder = path.parent.resolve()
    if not folder.is_dir():
        raise UsageError(f"the report's folder {folder} does not exist: create it first")
    if path.is_dir():
        raise UsageError(f"the report {path} is a folder: name a file")
    if os.path.lexists(path) and not overwrite:
        raise UsageError(f"{path} exists already: pass --overwrite or choose another report")
    if path.exists() and any(path.samefile(other) for other in inputs):
        raise UsageError(f"the report {path} is one of the files to be judged: choose another name")
    if not os.access(folder, os.W_OK):
        raise EnvironmentNotReady(f"cannot write into {folder}: choose a folder you may write to")


def write_report(
    path: Path, verdict: Verdict, facts: ReportFacts, evidence_folder: Path, *, overwrite: bool = False
) -> None:
    """Write the page of `verdict` to `path`.

    `evidence_folder`: what task `verify` left there when its request named it (`VerifyRequest.evidence`). Raises
    UsageError when `path` exists and may not be replaced, EnvironmentNotReady when the disk refuses.
    """
    page = render_page(verdict, facts, load_evidence(evidence_folder), evidence_folder)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write_atomic(temporary, page)
        publish(temporary, path, overwrite)
    finally:
        temporary.unlink(missing_ok=True)
