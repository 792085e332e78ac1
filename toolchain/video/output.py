"""What is written: codec, HDR format, container and the encoder settings that make a segment reproducible."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toolchain.errors import InputError, UsageError

Codec = Literal["hevc", "av1", "prores", "ffv1"]
HdrFormat = Literal["hdr10", "hlg"]
Container = Literal["mp4", "mov", "mkv"]
OutputChroma = Literal["4:2:0", "4:2:2", "4:4:4"]

CONTAINERS_OF: dict[Codec, tuple[Container, ...]] = {
    "hevc": ("mp4", "mov", "mkv"),
    "av1": ("mp4", "mkv"),
    "prores": ("mov", "mkv"),
    "ffv1": ("mkv",),
}
"""AV1 has a binding for ISO MP4 but none for QuickTime; ProRes is QuickTime's own; FFV1 (RFC 9043) is Matroska's."""

CHROMA_OF: dict[Codec, tuple[OutputChroma, ...]] = {
    "hevc": ("4:2:0",),
    "av1": ("4:2:0",),
    "prores": ("4:2:2",),
    "ffv1": ("4:2:0", "4:2:2", "4:4:4"),
}
"""What is written: HEVC Main 10, AV1 Main, ProRes 422 HQ; FFV1 takes any. The first is for an unknown source."""

_KEEPS_CHROMA: dict[str, OutputChroma] = {
    "4:2:2": "4:2:2", "4:1:1": "4:2:2", "4:4:0": "4:4:4", "4:4:4": "4:4:4", "rgb": "4:4:4",
}  # fmt: skip
"""The least chroma format that loses nothing of the source's; 4:2:0 for all others."""

DEFAULT_PRESET: dict[Codec, str] = {"hevc": "medium", "av1": "8", "prores": "hq", "ffv1": "lossless"}
DEFAULT_CRF: dict[Codec, int | None] = {"hevc": 18, "av1": 24, "prores": None, "ffv1": None}
ENCODER_OF: dict[Codec, str] = {"hevc": "libx265", "av1": "libsvtav1", "prores": "prores_ks", "ffv1": "ffv1"}

KEYFRAME_INTERVAL_S = 10
MAX_THREADS = 64
"""x265 makes pools of up to 64 threads; more cores than that stay free for the rest of the program."""
X265_FRAME_THREADS = 2
"""x265's bitstream depends on the number of frames in flight but not on its thread pool, so this is a constant."""

HEVC_LEVEL_4_1_SIDE, HEVC_LEVEL_5_MIN_SIDE = 4208, 32
"""Longest side of HEVC level 4.1, sqrt(8 x 2228224) in whole 16-pixel units; beyond it a coding tree unit, which x265
does not make larger than the picture, is 32 or more (ITU-T H.265, table A.8 and section A.4.1)."""
SVT_AV1_MAX_HEIGHT = 8704
SVT_AV1_MIN_SIDE = 32
X265_NARROW_WIDTH = 64

PRIMARIES_BT2020 = 9
MATRIX_BT2020_NCL = 9
TRANSFER_CODE: dict[HdrFormat, int] = {"hdr10": 16, "hlg": 18}
"""Code points of ITU-T H.273 (07/2024), tables 2 to 4."""


def container_for(path: Path, codec: Codec) -> Container:
    """The container that `path`'s extension names; UsageError where it is unknown or cannot hold `codec`."""
    name = path.suffix.lower().lstrip(".")
    allowed = CONTAINERS_OF[codec]
    for container in allowed:
        if name == container:
            return container
    choices = ", ".join(f".{container}" for container in allowed)
    raise UsageError(f"cannot write {codec} to {path.name!r}: the file name must end in {choices}")


def _usable_cores() -> int:
    return min(MAX_THREADS, len(os.sched_getaffinity(0)))


class OutputSpec(BaseModel):
    """The deliverable's form. `crf` None: the codec has no such control. `threads`: size of the encoder's pool.

    `chroma` is one of `CHROMA_OF[codec]`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    codec: Codec = "hevc"
    hdr_format: HdrFormat = "hdr10"
    container: Container = "mp4"
    chroma: OutputChroma = "4:2:0"
    preset: str
    crf: int | None = Field(default=None, ge=0, le=63)
    threads: int = Field(default_factory=_usable_cores, ge=1, le=MAX_THREADS)

    @classmethod
    def for_path(
        cls,
        path: Path,
        codec: Codec = "hevc",
        hdr_format: HdrFormat = "hdr10",
        preset: str | None = None,
        crf: int | None = None,
        threads: int | None = None,
        source_chroma: str | None = None,
    ) -> Self:
        """A specification for the file `path`; None takes the codec's default. UsageError for impossible pairs.

        `source_chroma` (`VideoFacts.chroma`) is kept where the codec can: see `CHROMA_OF`.
        """
        kept = _KEEPS_CHROMA.get(source_chroma or "", "4:2:0")
        return cls(
            codec=codec,
            hdr_format=hdr_format,
            container=container_for(path, codec),
            chroma=kept if kept in CHROMA_OF[codec] else CHROMA_OF[codec][0],
            preset=preset or DEFAULT_PRESET[codec],
            crf=DEFAULT_CRF[codec] if crf is None else crf,
            **({} if threads is None else {"threads": threads}),
        )

    @model_validator(mode="after")
    def _codec_fits(self) -> Self:
        if self.container not in CONTAINERS_OF[self.codec]:
            raise ValueError(f"{self.container} cannot hold {self.codec}; allowed: {CONTAINERS_OF[self.codec]}")
        if self.chroma not in CHROMA_OF[self.codec]:
            raise ValueError(f"{self.codec} is not written as {self.chroma}; allowed: {CHROMA_OF[self.codec]}")
        return self

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of the encoder's planes: 16-bit little-endian words holding 10-bit codes."""
        return f"yuv{self.chroma.replace(':', '')}p10le"

    @property
    def bit_depth(self) -> int:
        return 10

    @property
    def chroma_location(self) -> Literal["topleft", "left", "unspecified"]:
        """BT.2100-2 table 8: 4:2:0 chroma is co-sited with the top-left luma sample; 4:2:2 with the left one."""
        if self.chroma == "4:4:4":
            return "unspecified"
        return "left" if self.chroma == "4:2:2" else "topleft"

    @property
    def transfer_code(self) -> int:
        return TRANSFER_CODE[self.hdr_format]

    def check_size(self, width: int, height: int) -> None:
        """InputError where the encoder takes no picture of this size; the sentence names the codecs that do.

        Both sides are 16 to 16384, as `toolchain.video.probe` demands of every source.
        """
        reason = _size_limit(self.codec, width, height)
        if reason:
            able = [codec for codec in CONTAINERS_OF if not _size_limit(codec, width, height)]
            raise InputError(
                f"{self.codec} cannot hold a picture of {width}x{height}: {reason}; use --codec {' or '.join(able)}"
            )

    def encoder_options(self, width: int, height: int, frame_rate: Fraction) -> dict[str, str]:
        """Options of the FFmpeg encoder `ENCODER_OF[codec]`; the same input gives the same bits every time."""
        keyint = max(1, round(frame_rate * KEYFRAME_INTERVAL_S))
        if self.codec == "hevc":
            return self._x265(keyint, width)
        if self.codec == "av1":
            return self._svt_av1(keyint)
        if self.codec == "prores":
            return {"profile": "3", "vendor": "apl0"}
        slices = {"slices": "16"} if min(width, height) >= 480 else {}
        return {"level": "3", "coder": "range_def", "context": "0", "g": "1", "slicecrc": "1", **slices}

    def _x265(self, keyint: int, width: int) -> dict[str, str]:
        # info=0: the settings SEI would name the CPU. ST 2086 and light level are added after measuring (mux).
        params = {
            "log-level": "error", "info": 0, "open-gop": 0, "repeat-headers": 1, "keyint": keyint,
            "frame-threads": X265_FRAME_THREADS, "pools": self.threads, "range": "limited",
            "colorprim": PRIMARIES_BT2020, "transfer": self.transfer_code, "colormatrix": MATRIX_BT2020_NCL,
            "chromaloc": 2, "hdr10-opt": int(self.hdr_format == "hdr10"), "hdr10": 0,
        }  # fmt: skip
        if width < X265_NARROW_WIDTH:
            # Up to 48 pixels wide, x265 4.x writes beyond its adaptive quantisation buffers (seen with glibc's malloc
            # checks), which kills the process sooner or later.
            params |= {"aq-mode": 0, "cutree": 0}
        joined = ":".join(f"{name}={value}" for name, value in params.items())
        return {"preset": self.preset, "crf": str(self._quality), "x265-params": joined}

    def _svt_av1(self, keyint: int) -> dict[str, str]:
        # irefresh-type 2: closed GOPs; scd 0: key frames stand at segment starts and every keyint frames only.
        params = f"irefresh-type=2:scd=0:lp={min(self.threads, 6)}:chroma-sample-position=topleft"
        return {"preset": self.preset, "crf": str(self._quality), "g": str(keyint), "svtav1-params": params}

    @property
    def _quality(self) -> int:
        default = DEFAULT_CRF[self.codec]
        return self.crf if self.crf is not None else default if default is not None else 0


def _size_limit(codec: Codec, width: int, height: int) -> str:
    """The limit that a picture of this size breaks, "" where there is none; found by trying PyAV 18's encoders."""
    short, long = sorted((width + width % 2, height + height % 2))
    if codec == "hevc" and long > HEVC_LEVEL_4_1_SIDE and short < HEVC_LEVEL_5_MIN_SIDE:
        return f"beside a side above {HEVC_LEVEL_4_1_SIDE} the other must be {HEVC_LEVEL_5_MIN_SIDE} or more"
    if codec == "av1" and height > SVT_AV1_MAX_HEIGHT:
        return f"at most {SVT_AV1_MAX_HEIGHT} rows are allowed"
    if codec == "av1" and short < SVT_AV1_MIN_SIDE:
        return f"both sides must be {SVT_AV1_MIN_SIDE} or more"
    return ""
