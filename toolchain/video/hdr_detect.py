"""Is it HDR already? From the tags, the side data of decoded frames and the container's Dolby Vision record."""

from __future__ import annotations

from collections.abc import Collection

from toolchain.video.facts import ColorTags, HdrKind

DOLBY_VISION_TAGS = ("dvh1", "dvhe", "dva1", "dvav", "dav1")
_TAG_NAMES = {"smpte2084": ("pq", "PQ (SMPTE ST 2084)"), "arib-std-b67": ("hlg", "HLG (ARIB STD-B67)")}


def detect_hdr(
    tags: ColorTags, side_data: Collection[str], codec_tag: str, container_dolby_vision: bool
) -> tuple[HdrKind, str]:
    """Kind of HDR and the sentence that says how it was recognised; ("none", "") for SDR.

    `side_data` holds names of av.sidedata Type members found on decoded frames. Dolby Vision wins over its base
    layer. BT.2020 primaries with ST 2086 or content-light metadata and no transfer is PQ that lost its tag.
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
    mastering = {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS"} & set(side_data)
    if mastering and tags.transfer == "unspecified" and tags.primaries == "bt2020":
        return "pq", "it is BT.2020 with HDR10 metadata and no transfer tag"
    return "none", ""
