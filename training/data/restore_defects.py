"""What damages a picture on its way: the camera's noise, a lens or a scaler's softness, coders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.ycbcr import code_range, rgb_to_ycbcr_matrix

Picture = NDArray[np.float32]
Codes = NDArray[np.uint16]
"""Planar 4:2:0 packed as av's to_ndarray gives it: (3 H / 2, W), 10-bit limited-range codes."""

Coder = Literal["libx264", "libx265", "mpeg4", "mpeg2video"]
DECODERS: dict[Coder, str] = {"libx264": "h264", "libx265": "hevc", "mpeg4": "mpeg4", "mpeg2video": "mpeg2video"}
RATE = Fraction(25)
"""Frames a second of what is coded."""
_QUARTERS = np.array([0.25, 0.5, 0.25], dtype=np.float32)
_HALVES = np.array([0.0, 0.5, 0.5], dtype=np.float32)
_MATRIX = rgb_to_ycbcr_matrix("bt709").T.astype(np.float32)


def signal_to_codes(signal: Picture) -> NDArray[np.float32]:
    """(H, W, 3) BT.709 R'G'B' -> packed 4:2:0 in 10-bit limited-range codes, float32, not rounded; chroma "left"."""
    height, width = signal.shape[:2]
    y_offset, y_scale, c_offset, c_scale = code_range(10, "limited")
    planes = signal @ (_MATRIX * np.array([y_scale, c_scale, c_scale], dtype=np.float32))
    chroma = cv2.sepFilter2D(planes[..., 1:], cv2.CV_32F, _QUARTERS, _HALVES, borderType=cv2.BORDER_REPLICATE)
    chroma = chroma[::2, ::2] + c_offset
    packed = [planes[..., 0].ravel() + y_offset, chroma[..., 0].ravel(), chroma[..., 1].ravel()]
    return np.concatenate(packed).reshape(height * 3 // 2, width).astype(np.float32)


@dataclass(frozen=True)
class CameraNoise:
    """A camera's noise with `sigma_codes` of luma in 8-bit codes, averaged over the picture.

    `shot_share`: how much of the variance grows with light. `grain`: "bayer" is demosaiced noise with white-balance
    gains, so correlated and stronger in chroma; "film" is blurred; "white" is independent from pixel to pixel.
    """

    sigma_codes: float
    shot_share: float = 0.7
    grain: Literal["bayer", "film", "white"] = "bayer"

    def apply(self, signal: Picture, rng: np.random.Generator) -> Picture:
        """`signal` with one frame's noise, clipped to [0, 1]. Added in scene light of the BT.709 camera curve."""
        light = _camera_light(signal)
        noise = np.sqrt(self.shot_share * light + (1 - self.shot_share) * 0.1) * _grain(self.grain, signal.shape, rng)
        step = 1e-3 * noise / (noise.std() + 1e-12)
        shown = (_camera_signal(np.maximum(light + step, 0.0)) - _camera_signal(np.maximum(light - step, 0.0))) / 2
        luma_sigma = float((shown @ _MATRIX[:, 0]).std()) * 219.0
        scale = self.sigma_codes / max(luma_sigma, 1e-9)
        return np.clip(_camera_signal(np.maximum(light + scale * step, 0.0)), 0.0, 1.0).astype(np.float32)


def _camera_light(signal: Picture) -> Picture:
    """Inverse of the OETF of Rec. ITU-R BT.709-6, item 1.2."""
    return np.where(signal < 0.081, signal / 4.5, ((signal + 0.099) / 1.099) ** (1 / 0.45)).astype(np.float32)


def _camera_signal(light: Picture) -> Picture:
    return np.where(light < 0.018, 4.5 * light, 1.099 * np.maximum(light, 0.018) ** 0.45 - 0.099).astype(np.float32)


_GREEN_TAPS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], dtype=np.float32) / 4
_OTHER_TAPS = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=np.float32) / 4


def _grain(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Picture:
    noise = rng.normal(size=shape).astype(np.float32)
    if kind == "white":
        return noise
    if kind == "film":
        return cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.45, 0.9)).astype(np.float32, copy=False)
    red_gain, blue_gain = rng.uniform(1.2, 2.2, 2)
    masks = np.zeros(shape, dtype=np.float32)
    masks[0::2, 0::2, 0] = red_gain
    masks[1::2, 1::2, 2] = blue_gain
    masks[0::2, 1::2, 1] = masks[1::2, 0::2, 1] = 1.0
    taps = (_OTHER_TAPS, _GREEN_TAPS, _OTHER_TAPS)
    planes = [cv2.filter2D(noise[..., i] * masks[..., i], cv2.CV_32F, taps[i]) for i in range(3)]
    return np.stack(planes, axis=-1).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Softness:
    """`sigma_px` as a Gaussian's: "gauss" and "disc" blur light, "box" the signal, "scaled" shrinks and enlarges."""

    sigma_px: float
    kind: Literal["gauss", "disc", "box", "scaled"] = "gauss"

    def apply(self, signal: Picture) -> Picture:
        """The soft signal, clipped to [0, 1]."""
        if self.kind == "scaled":
            soft = self._scaled(signal)
        elif self.kind == "box":
            soft = cv2.filter2D(signal, -1, _disc(self.sigma_px * 3.46, box=True))
        else:
            light = _camera_light(signal)
            if self.kind == "gauss":
                blurred = cv2.GaussianBlur(light, (0, 0), self.sigma_px)
            else:
                blurred = cv2.filter2D(light, -1, _disc(4 * self.sigma_px))
            soft = _camera_signal(np.maximum(blurred, 0.0))
        return np.clip(soft, 0.0, 1.0).astype(np.float32)

    def _scaled(self, signal: Picture) -> Picture:
        """Shrunk by 1 + 0.75 sigma, as a smaller format shown large: edges about half as wide as sigma says."""
        height, width = signal.shape[:2]
        factor = 1 + 0.75 * self.sigma_px
        small = cv2.resize(signal, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32, copy=False)


def _disc(diameter: float, box: bool = False) -> NDArray[np.float32]:
    """A disc (or square) of a fractional diameter, supersampled, summing to 1."""
    taps = 2 * int(np.ceil((diameter - 1) / 2 + 1e-6)) + 1
    offsets = (np.arange(taps * 8) + 0.5) / 8 - taps / 2
    inside = np.abs(offsets) <= diameter / 2
    shape = np.outer(inside, inside) if box else np.hypot(offsets[:, None], offsets[None, :]) <= diameter / 2
    kernel = cv2.resize(shape.astype(np.float32), (taps, taps), interpolation=cv2.INTER_AREA)
    return kernel / kernel.sum()


@dataclass(frozen=True)
class Coding:
    """One pass through a real coder. `quality`: crf of libx264 and libx265, quantiser (1 to 31) of the MPEG ones."""

    coder: Coder
    quality: float
    preset: str = "medium"

    @property
    def compression(self) -> float:
        """0 to 1 over x264's crf 14 to 42; the others by the crf of about the same damage."""
        if self.coder in ("mpeg4", "mpeg2video"):
            crf = 18 + 6 * np.log2(max(self.quality, 2.0) / 2)
        else:
            crf = self.quality - (4 if self.coder == "libx265" else 0)
        return float(np.clip((crf - 14) / 28, 0, 1))

    def apply(self, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Packed 4:2:0 8-bit frames -> the decoded ones, as many."""
        encoder = self._encoder(frames)
        packets: list[av.Packet] = []
        for index, codes in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(codes, "yuv420p")
            frame.pts, frame.time_base = index, 1 / RATE
            packets += encoder.encode(frame)
        packets += encoder.encode()
        decoder = cast(av.VideoCodecContext, av.CodecContext.create(DECODERS[self.coder], "r"))
        decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
        return [frame.to_ndarray().astype(np.uint8, copy=False) for frame in decoded]

    def _encoder(self, frames: Sequence[NDArray[np.uint8]]) -> av.VideoCodecContext:
        encoder = cast(av.VideoCodecContext, av.CodecContext.create(self.coder, "w"))
        encoder.height, encoder.width = frames[0].shape[0] * 2 // 3, frames[0].shape[1]
        encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", RATE, 1 / RATE
        encoder.options = self._options(len(frames))
        if self.coder in ("mpeg4", "mpeg2video"):
            encoder.qmin = encoder.qmax = round(self.quality)
            encoder.max_b_frames = 2
        return encoder

    def _options(self, frames: int) -> dict[str, str]:
        if self.coder == "libx264":
            # The macroblock tree of longer clips differs from run to run in builds with AVX-512.
            steady = {"x264-params": "mbtree=0"} if frames > 2 else {}
            return {"crf": f"{self.quality:g}", "preset": self.preset, "threads": "1", **steady}
        if self.coder == "libx265":
            quiet = "log-level=none:pools=none:frame-threads=1"
            return {"crf": f"{self.quality:g}", "preset": self.preset, "x265-params": quiet}
        return {"threads": "1"}
