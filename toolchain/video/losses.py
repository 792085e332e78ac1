"""What of the picture the written file does not hold as it was: one sentence each, for the user."""

from __future__ import annotations

from toolchain.video.encode import coded_size
from toolchain.video.facts import VideoFacts
from toolchain.video.hdr_metadata import HdrMetadata
from toolchain.video.output import Codec, OutputChroma, OutputSpec

OVERSHOOT = 1.2
"""MaxCLL above the mastering peak by more than this is told. Below, it is what any lossy encoder adds at edges."""

_STEP: dict[str, tuple[int, int]] = {
    "rgb": (1, 1), "4:4:4": (1, 1), "4:4:0": (1, 2), "4:2:2": (2, 1), "4:2:0": (2, 2), "4:1:1": (4, 1),
}  # fmt: skip
"""Luma samples for each chroma sample, across and down."""

_REMEDY: dict[tuple[Codec, OutputChroma], str] = {
    ("hevc", "4:2:0"): "HEVC Main 10 holds no more; --codec prores keeps 4:2:2, ffv1 keeps all",
    ("av1", "4:2:0"): "AV1 Main holds no more; --codec prores keeps 4:2:2, ffv1 keeps all",
    ("prores", "4:2:2"): "ProRes 422 HQ holds no more; --codec ffv1 keeps all",
}


def picture_losses(video: VideoFacts, spec: OutputSpec, metadata: HdrMetadata | None) -> list[str]:
    """Sentences about the size, the chroma format and the peak of a file written as `spec` from `video`."""
    found = (_size(video, spec), _chroma(video, spec), peak_overshoot(metadata))
    return [sentence for sentence in found if sentence]


def peak_overshoot(metadata: HdrMetadata | None) -> str:
    """A sentence where the measured MaxCLL exceeds the mastering display's peak clearly, else ""."""
    if metadata is None or metadata.max_cll <= OVERSHOOT * metadata.mastering_max_nits:
        return ""
    above = metadata.max_cll / metadata.mastering_max_nits - 1
    return (
        f"the brightest pixel of the file has {metadata.max_cll} nits, {above:.0%} above the peak of "
        f"{metadata.mastering_max_nits:g} nits: chroma subsampling and coding overshoot it at saturated edges"
    )


def _size(video: VideoFacts, spec: OutputSpec) -> str:
    width, height = coded_size(spec, video.width, video.height)
    if (width, height) == (video.width, video.height):
        return ""
    return (
        f"the picture is {width}x{height} instead of {video.width}x{video.height}: {spec.codec} {spec.chroma} needs "
        "even sizes; what was added repeats its neighbours; --codec ffv1 keeps any size"
    )


def _chroma(video: VideoFacts, spec: OutputSpec) -> str:
    before, after = _STEP.get(video.chroma, (2, 2)), _STEP[spec.chroma]
    if before[0] >= after[0] and before[1] >= after[1]:
        return ""
    reason = _REMEDY.get((spec.codec, spec.chroma))
    return f"chroma is reduced from {video.chroma} to {spec.chroma}" + (f": {reason}" if reason else "")
