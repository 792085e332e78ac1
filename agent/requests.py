"""Requests of the first two steps: made by their nodes, early by `agent.ahead`, and by `agent verify`."""

from __future__ import annotations

from pathlib import Path

from agent.state import JobSpec
from agent.tasks.messages import ProbeRequest, ScanRequest
from analysis.selection.profile import Profile
from toolchain.video.facts import MediaFacts


def probe_request(job: JobSpec) -> ProbeRequest:
    return ProbeRequest(path=job.input)


def scan_request(path: Path, profile: Profile, work: Path, facts: MediaFacts) -> ScanRequest:
    return ScanRequest(
        path=path,
        facts=facts,
        work=work,
        key_frames_per_shot=profile.pilot_frames_per_shot,
        max_key_frames=profile.max_pilot_frames,
    )
