"""The native frames of the analyser's training set, which does not store them: made again, and checked.

The set is a function of its configuration and sources alone, so a frame whose shrunk picture and statistics come out
as they are stored, byte for byte, is the frame that was measured and labelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from toolchain.errors import InputError, UsageError
from training.data.distortions_detail import Picture
from training.data.mllm_data import MllmDataConfig, sampler, sources_of, stamp_of
from training.data.mllm_sample import Sample
from training.data.mllm_shards import Line, Shard, read_shard


class NativeFrames:
    """Makes the frames of a set that was built, or is being built, with `config` from the same sources.

    UsageError where the folder was begun with another configuration or other sources.
    """

    def __init__(
        self, folder: Path, config: MllmDataConfig, data_folder: Path | None = None, images: Path | None = None
    ) -> None:
        sources = sources_of(config, data_folder, images)
        stamp = stamp_of(config, sources)
        try:
            stored = (folder / "config.sha256").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{folder} is no set of `agent train data` ({error}): name one with --data.") from error
        if stored != stamp:
            raise UsageError(
                f"{folder} was made with another configuration or from other sources: name those it was made with."
            )
        self._config = config
        self._sources = {source.name: source for source in sources}

    def of(self, lines_path: Path) -> Iterator[tuple[Line, Picture]]:
        """(line, (H, W, 3) uint8 R'G'B' frame) of every sample of a shard, in order, one source in memory at a time.

        InputError where a frame does not come out as it was stored.
        """
        shard = read_shard(lines_path)
        places = enumerate(line.id.rpartition("-") for line in shard.lines)
        for name, group in groupby(places, key=lambda item: item[1][0]):
            if name not in self._sources:
                raise InputError(f"{lines_path} has samples of {name!r}, which is no source: build the set again.")
            make = sampler(self._config, self._sources[name])
            for place, (_, _, number) in group:
                made = make(int(number)) if number.isdecimal() else None
                yield shard.lines[place], _checked(made, shard, place)


def _checked(made: Sample | None, shard: Shard, place: int) -> Picture:
    if (
        made is None
        or not np.array_equal(made.picture, shard.picture[place])
        or not np.array_equal(made.statistics, shard.statistics[place])
    ):
        raise InputError(
            f"sample {shard.lines[place].id} does not come out as it is stored: the set was made by other code or "
            "from other files; build it again with this version."
        )
    return made.frame
