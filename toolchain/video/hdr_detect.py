"""Is it HDR already? From the tags, the side data of decoded frames and the container's Dolby Vision record."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping

from toolchain.color.transfer import REFERENCE_WHITE_NITS
from toolchain.video.facts import ColorTags, HdrKind

DOLBY_VISION_TAGS = ("dvh1", "dvhe", "dva1", "dvav", "dav1")
_MASTERING_DISPLAY = struct.Struct("=22i")
_TAG_NAMES = {"smpte2084": ("pq", "PQ (SMPTE ST 2084)"), "arib-std-b67": ("hlg", "HLG (ARIB STD-B67)")}


def detect_hdr(
    tags: ColorTags, side_data: Mapping[str, bytes], codec_tag: str, container_dolby_vision: bool
) -> tuple[HdrKind, str]:
    """Kind of HDR and the sentence that says how it was recognised; ("none", "") for SDR.

    `side_data`: that of decoded frames, by the name of its av.sidedata Type; FFmpeg puts what only the container
    says there too. Dolby Vision wins over its base layer. A transfer tag that is missing or SDR is wrong where
    BT.2020 or unstated primaries come with metadata that only HDR has: HDR10+, or light above SDR's white (203
    nits). Stated primaries other than BT.2020 are believed instead, and the metadata is taken for a leftover of the
    HDR original that the file was graded down from: encoders copy it blindly, and nobody delivers HDR10 in BT.709.
    """
    if container_dolby_vision or codec_tag in DOLBY_VISION_TAGS:
        return "dolby_vision", "the container declares Dolby Vision"
    if {"DOVI_METADATA", "DOVI_RPU_BUFFER"} & set(side_data):
        return "dolby_vision", "the bitstream carries Dolby Vision metadata"
    if tags.transfer in _TAG_NAMES:
        kind, name = _TAG_NAMES[tags.transfer]
        return ("pq" if kind == "pq" else "hlg"), f"its transfer function is {name}"
    if tags.matrix in ("ictcp", "ipt-c2"):
        return "pq", f"its colour representation ({tags.matrix}) exists only for HDR"
    return _untagged_pq(tags, side_data)


def _untagged_pq(tags: ColorTags, side_data: Mapping[str, bytes]) -> tuple[HdrKind, str]:
    """PQ that lost its tag, or got an SDR one, by its HDR10 metadata."""
    if tags.primaries not in ("bt2020", "unspecified"):
        return "none", ""
    said = "no transfer tag" if tags.transfer == "unspecified" else f"the transfer tag {tags.transfer}"
    if "DYNAMIC_HDR_PLUS" in side_data:
        return "pq", f"it carries HDR10+ metadata, whatever its tags say ({said})"
    stated_nits = _stated_nits(side_data)
    if stated_nits > REFERENCE_WHITE_NITS:
        return "pq", f"its HDR10 metadata states light of {stated_nits:g} nits, whatever its tags say ({said})"
    static = {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"} & set(side_data)
    if static and tags.transfer == "unspecified" and tags.primaries == "bt2020":
        return "pq", "it is BT.2020 with HDR10 metadata and no transfer tag"
    return "none", ""


def _stated_nits(side_data: Mapping[str, bytes]) -> float:
    """The larger of the mastering display's peak and MaxCLL; 0 where neither is stated.

    FFmpeg's structures: AVMasteringDisplayMetadata is eight chromaticities, the darkest and the brightest light (all
    as two ints, numerator and denominator) and two flags, the second for light; AVContentLightMetadata begins with
    MaxCLL.
    """
    stated = [0.0]
    display = side_data.get("MASTERING_DISPLAY_METADATA", b"")
    if len(display) >= _MASTERING_DISPLAY.size:
        *_, numerator, denominator, _, has_light = _MASTERING_DISPLAY.unpack_from(display)
        stated += [numerator / denominator] if has_light and denominator else []
    light = side_data.get("CONTENT_LIGHT_LEVEL", b"")
    stated += [float(int.from_bytes(light[:4], sys.byteorder))]
    return max(stated)
