"""Tags, languages, titles and dispositions: what is passed on, and what the written file turned out not to hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import Container as AvContainer
from av.container import InputContainer
from av.stream import Disposition, Stream

from toolchain.video.encode import url

_CONTAINER_TAGS = frozenset({"MAJOR_BRAND", "MINOR_VERSION", "COMPATIBLE_BRANDS", "ENCODER"})
_ENCODING_TAGS = frozenset({"ENCODER", "BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES"})
_STATISTICS = "_STATISTICS"
_DEGREES = re.compile(r"[+-]\d+(?:\.\d+)?")
_DIGITS = re.compile(r"\d+")
_OWN_WORDS = frozenset({"HANDLER_NAME", "VENDOR_ID", "DURATION", "ENCODER", "FILENAME", "MIMETYPE"})
"""What every muxer words by itself."""
_ITUNES_TAGS = frozenset({
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping",
    "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "track", "disc",
    "season_number", "episode_sort", "hd_video", "gapless_playback", "media_type", "compilation",
    "creation_time", "location",
})  # fmt: skip


def file_tags(source: InputContainer) -> dict[str, str]:
    """The source's own tags, without those that describe its container or the program that wrote it."""
    return {key: value for key, value in source.metadata.items() if key.upper() not in _CONTAINER_TAGS}


def needs_mdta(tags: Mapping[str, str]) -> bool:
    """True where a tag has no name in MP4's iTunes list, so that QuickTime's free-form `mdta` list must carry all."""
    return any(key.lower().split("-")[0] not in _ITUNES_TAGS for key in tags)


def copy_labels(stream: Stream, added: Stream, encoded_anew: bool = False) -> None:
    """Tags (language and title among them) and dispositions; figures about the old encoding stay behind if anew."""
    labels = dict(stream.metadata)
    if encoded_anew:
        labels = {key: value for key, value in labels.items() if not _is_about_encoding(key)}
    if "name" in labels:  # where QuickTime keeps what Matroska calls the title
        labels.setdefault("title", labels.pop("name"))
    added.metadata.update(labels)
    added.disposition = stream.disposition


def _is_about_encoding(key: str) -> bool:
    return key.upper() in _ENCODING_TAGS or key.upper().startswith(_STATISTICS)


@dataclass(frozen=True)
class Labels:
    """A file's labels: its tags, each stream's by kind and position in the kind, and how many chapters it has."""

    tags: dict[str, str]
    streams: dict[tuple[str, int], tuple[dict[str, str], Disposition]]
    chapters: int

    @classmethod
    def of(cls, container: AvContainer) -> Labels:
        """The labels a container has, or is going to have."""
        streams: dict[tuple[str, int], tuple[dict[str, str], Disposition]] = {}
        counts: dict[str, int] = {}
        for stream in container.streams:
            position = counts[stream.type] = counts.get(stream.type, -1) + 1
            tags = _folded(stream.metadata)
            tags.pop("CREATION_TIME", None)  # of the track in its old file; the file's own one is kept
            streams[stream.type, position] = (tags, stream.disposition)
        return cls(_folded(container.metadata), streams, len(container.chapters()))


def lost_labels(wanted: Labels, path: Path, container_name: str) -> list[str]:
    """One warning for each label that was given to the muxer and cannot be read back from `path`."""
    with av.open(url(path), metadata_errors="replace") as container:
        found = Labels.of(container)
    lost = [f"the file's tag {key}" for key in _missing(wanted.tags, found.tags)]
    for place, (tags, disposition) in wanted.streams.items():
        name = f"{place[0]} stream {place[1] + 1}"
        got_tags, got_disposition = found.streams.get(place, ({}, Disposition(0)))
        lost += [f"the tag {key} of {name}" for key in _missing(tags, got_tags)]
        gone = disposition & ~got_disposition
        lost += [f"the disposition {flag.name} of {name}" for flag in Disposition if flag & gone]
    if found.chapters != wanted.chapters:
        lost.append(f"{wanted.chapters - found.chapters} chapters")
    return [f"{what} cannot be held by {container_name} and is lost" for what in lost]


def _folded(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.upper(): value for key, value in tags.items()}


def _missing(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    known = {**found, "TITLE": found.get("TITLE", found.get("NAME", ""))}
    known.setdefault("LANGUAGE", "und")
    return [
        f"{key.lower()} ({value!r:.60})"
        for key, value in wanted.items()
        if key not in _OWN_WORDS and not _is_about_encoding(key) and not _same(key, value, known.get(key))
    ]


def _same(key: str, wanted: str, found: str | None) -> bool:
    if key == "CREATION_TIME" and found is not None:  # each container words the same moment in its own way
        return _DIGITS.findall(wanted)[:6] == _DIGITS.findall(found)[:6]
    if key.startswith("LOCATION") and found is not None:  # ISO 6709, with as many decimals as the box has
        return [float(n) for n in _DEGREES.findall(wanted)] == [float(n) for n in _DEGREES.findall(found)]
    return wanted == found
