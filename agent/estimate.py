"""How long a job will take: a rough figure from measured costs, for `agent plan`."""

from __future__ import annotations

import os

from analysis.selection.profile import Profile
from toolchain.video.facts import MediaFacts

START_S = 4.0
"""Starting the worker, planning and the pilot."""
OPEN_MODEL_S = 4.0
"""Opening the analyser's model in process (docs/benchmarks/analyser_speed.json); frames add 0.2 to 0.3 s each."""


def estimate_s(facts: MediaFacts, profile: Profile, cores: int | None = None) -> float:
    """Seconds on this machine for HEVC; the costs are the profile's, measured on a 2-core Zen 5 (docs/benchmarks)."""
    video = facts.video
    if video is None:
        return 0.0
    duration_s = video.duration_s or facts.duration_s or 0.0
    frames = video.frame_count or duration_s * float(video.frame_rate or 25)
    megapixels = frames * video.width * video.height / 1e6
    start_s = START_S + (OPEN_MODEL_S if profile.analyser.engine == "local" else 0.0)
    return start_s + megapixels * profile.cpu_ms_per_megapixel / 1e3 / (cores or len(os.sched_getaffinity(0)))
