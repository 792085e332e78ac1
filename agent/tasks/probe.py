"""Task: facts of a file."""

from __future__ import annotations

from agent.tasks.messages import ProbeRequest
from toolchain.events import Emit
from toolchain.video import probe as probing
from toolchain.video.facts import MediaFacts


def probe(request: ProbeRequest, _: Emit) -> MediaFacts:
    """Raises InputError for what is no video, AlreadyHdr when SDR is required and the file is HDR."""
    facts = probing.probe(request.path)
    if request.require_sdr:
        probing.require_sdr(facts)
    return facts
