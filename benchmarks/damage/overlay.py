"""Subtitles and a logo over a clip, and the mask that a detector of graphics would give."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.vqa.spec import Image
from toolchain.color.transfer import pq_eotf, pq_eotf_inverse

LINES = ("Nothing is brighter than", "what was meant to be.", "We had better go home,", "said the lamp.")
BLOCK_PX = 8
FONT, SIZE = cv2.FONT_HERSHEY_DUPLEX, 0.55


@dataclass(frozen=True)
class Overlay:
    """Drawn letters and their box. `ink`: coverage in [0, 1], HxW; `edge`: the dark outline's; `mask`: weights of
    the blocks that hold graphics, HxW float32 in [0, 1]; `colour`: R'G'B' of the letters, 0 to 255."""

    ink: Image
    edge: Image
    mask: Image
    colour: tuple[int, int, int] = (255, 255, 255)

    @staticmethod
    def none(shape: tuple[int, int]) -> Overlay:
        """No graphics."""
        empty = np.zeros(shape, np.float32)
        return Overlay(empty, empty, empty)

    @staticmethod
    def subtitles(shape: tuple[int, int], shot: int) -> Overlay:
        """Two lines at the bottom and a disc in the corner; every second shot's letters are yellow."""
        ink, edge = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        for row in range(2):
            text = LINES[(2 * shot + row) % len(LINES)]
            (width, _), _ = cv2.getTextSize(text, FONT, SIZE, 1)
            at = ((shape[1] - width) // 2, shape[0] - 34 + 20 * row)
            cv2.putText(edge, text, at, FONT, SIZE, 255, 4, cv2.LINE_AA)
            cv2.putText(ink, text, at, FONT, SIZE, 255, 1, cv2.LINE_AA)
        cv2.circle(ink, (shape[1] - 30, 26), 11, 255, -1, cv2.LINE_AA)
        letters: Image = ink.astype(np.float32) / np.float32(255)
        outline: Image = np.maximum(edge.astype(np.float32) / np.float32(255), letters)
        return Overlay(letters, outline, _blocks(outline), (255, 255, 255) if shot % 2 == 0 else (255, 255, 80))

    def keep(self, source: Image, output: Image) -> Image:
        """The output with the source's light where graphics are, mixed in PQ as the render does."""
        if not self.mask.any():
            return output
        weight = self.mask[..., None]
        kept, mixed = pq_eotf_inverse(source), pq_eotf_inverse(output)
        return np.where(weight > 0, pq_eotf(mixed + weight * (kept - mixed)), output).astype(np.float32)


def add_overlay(codes: NDArray[np.uint8], overlay: Overlay) -> NDArray[np.uint8]:
    """8-bit R'G'B' with the letters laid over it."""
    if not overlay.mask.any():
        return codes
    darkened = codes * (1 - overlay.edge[..., None])
    drawn = darkened + overlay.ink[..., None] * np.array(overlay.colour, np.float32)
    return np.rint(np.clip(drawn, 0, 255)).astype(np.uint8)


def _blocks(coverage: Image) -> Image:
    """1 in every block that letters touch, fading out over half a block."""
    height, width = coverage.shape
    padded = np.pad(coverage, ((0, -height % BLOCK_PX), (0, -width % BLOCK_PX)))
    grid = padded.reshape(padded.shape[0] // BLOCK_PX, BLOCK_PX, -1, BLOCK_PX).max(axis=(1, 3)) > 0.05
    full = np.kron(grid, np.ones((BLOCK_PX, BLOCK_PX)))[:height, :width].astype(np.float32)
    return np.maximum(full, cv2.blur(full, (BLOCK_PX // 2 + 1, BLOCK_PX // 2 + 1)))
