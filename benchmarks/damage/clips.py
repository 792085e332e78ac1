"""The clips of the damage suite, and which of them are held out.

The split is by title and was written down before any limit was looked at; no limit and no formula is tuned on a
held-out clip. The first fifteen calibration clips are those that earlier limits were fitted to; the last twelve came
later, before the gates that they made necessary.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.vqa.spec import Image, output_nits, source_nits
from benchmarks.damage.overlay import Overlay, add_overlay
from toolchain.color.transfer import bt1886_eotf_inverse
from toolchain.video.facts import ColorInterpretation
from toolchain.video.picture import rgb_signal
from training.data.grading import GradeRecipe, grade
from training.data.itm_grades import anchor_master
from training.data.masters import (
    MasterGrade,
    crop_view,
    grade_master,
    perspective_view,
    read_exr,
    read_radiance,
    roll_off,
)
from training.data.scenes import SCENES
from training.data.titles import make_title, render_title
from training.data.ultrahdr import read_ultrahdr

WIDTH, HEIGHT = 480, 270
FRAMES = 3
"""In a row; two shots or more a clip."""

PEAK_NITS = 1000.0
PAN_PX = (3, 1)
MARGIN_PX = PAN_PX[0] * (FRAMES - 1), PAN_PX[1] * (FRAMES - 1)
LARGE = (WIDTH + MARGIN_PX[0], HEIGHT + MARGIN_PX[1])
SECOND_SHOT_FRAME = 12
BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
BT2020 = ColorInterpretation(matrix="bt2020nc", primaries="bt2020", range="limited", chroma_location="topleft")
PQ_TRANSFER = 16
GRADES = (GradeRecipe(), GradeRecipe(applied_to="luminance"), GradeRecipe(curve="clip"))
"""How masters became SDR, taken in turn. All keep mid-tones, so that the anchored master is a right answer."""

Codes = NDArray[np.uint8]
Shot = tuple[tuple[Codes, ...], tuple[Image, ...] | None]
"""Consecutive frames of 8-bit BT.709 R'G'B', and their HDR master in nits where there is one."""


@dataclass(frozen=True)
class Clip:
    """A clip at working size. `sources` and `masters` (None: there is none): BT.2020 nits of each shot's frames."""

    name: str
    held_out: bool
    sources: tuple[tuple[Image, ...], ...]
    masters: tuple[tuple[Image, ...], ...] | None
    overlays: tuple[Overlay, ...]
    """One a shot; empty ones hold no graphics."""

    faces: bool


@dataclass(frozen=True)
class Entry:
    """A clip before it is read: `kind` says by whom. `text`: subtitles and a logo are laid over it. `faces`: somebody
    in it is close enough for a face to be seen."""

    kind: str
    name: str
    text: bool = False
    faces: bool = False


CALIBRATION: tuple[Entry, ...] = (
    Entry("scenes", "0", text=True),
    Entry("film", "internal_emulator_transformer_output.mp4", text=True, faces=True),
    Entry("film", "sample.mp4", faces=True),
    Entry("film", "sample_with_increasing_timestamps_360p.mp4", text=True),
    Entry("film", "bbb_960x540_60fps_vp8.webm"),
    Entry("film", "bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4", text=True),
    Entry("film", "portrait_4k60.mp4"),
    Entry("panorama", "adams_place_bridge_1k", text=True),
    Entry("panorama", "dikhololo_night_1k", text=True),
    Entry("panorama", "forest_slope_1k"),
    Entry("panorama", "kiara_1_dawn_1k", text=True),
    Entry("panorama", "potsdamer_platz_1k"),
    Entry("panorama", "st_fagans_interior_1k", text=True),
    Entry("panorama", "studio_small_03_1k"),
    Entry("panorama", "venice_sunset_1k", text=True),
    Entry("title", "3", faces=True),  # portrait
    Entry("title", "2", text=True, faces=True),  # cartoon
    Entry("title", "20", text=True),  # night street
    Entry("title", "6", faces=True),  # snow, people
    Entry("title", "9", text=True),  # landscape, strong grain
)

MORE_CALIBRATION: tuple[Entry, ...] = (
    Entry("title", "85"),  # moonlight, grain
    Entry("title", "79"),  # night street, strong grain
    Entry("title", "61"),  # stage
    Entry("title", "77"),  # fire, grain
    Entry("title", "96"),  # forest
    Entry("title", "127"),  # neon, grain
    Entry("title", "118", faces=True),  # portrait, strong grain
    Entry("title", "76"),  # candle
    Entry("title", "104"),  # fireworks
    Entry("title", "71"),  # fog, grain
    Entry("title", "114"),  # table, grain
    Entry("title", "124"),  # room
)
"""Dark, grainy and pale ones: held-out clips like these showed that the first twenty did not stand for them."""

HELD_OUT: tuple[Entry, ...] = (
    Entry("photograph", "CandleGlass"),
    Entry("photograph", "Cannon", text=True),
    Entry("photograph", "Carrots"),
    Entry("photograph", "CrissyField", text=True),
    Entry("photograph", "Desk"),
    Entry("photograph", "Flowers"),
    Entry("photograph", "Garden"),  # has luminance only: a black-and-white film
    Entry("photograph", "StillLife", text=True),
    Entry("photograph", "Tree"),
    Entry("gainmap", "01", text=True),
    Entry("gainmap", "02"),
    Entry("gainmap", "04"),
    Entry("hdr_film", "hdr10-av1.mp4"),
    Entry("hdr_film", "hdr10-video-with-sdr-container.mp4", text=True),
    Entry("hdr_film", "sample_edit_list.mp4"),
    Entry("hdr_film", "hlg10-color-test.mp4"),
    Entry("film", "sample_with_chapters.mkv"),  # a test picture: pure colours
    Entry("title", "0"),  # moonlight, strong grain
    Entry("title", "1", text=True),  # table
    Entry("title", "4", text=True),  # stage
    Entry("title", "11", faces=True),  # street, people
    Entry("title", "12", text=True, faces=True),  # portrait
    Entry("title", "15", faces=True),  # portrait, strong grain
    Entry("title", "21", text=True, faces=True),  # portrait
    Entry("title", "43", faces=True),  # portrait
    Entry("title", "18", text=True, faces=True),  # cartoon
    Entry("title", "27", faces=True),  # cartoon, bright
    Entry("title", "23"),  # snow
    Entry("title", "24"),  # forest, strong grain
    Entry("title", "37", text=True),  # fog
    Entry("title", "39"),  # neon, strong grain
    Entry("title", "51", text=True, faces=True),  # sea, people
)


def entries() -> tuple[tuple[Entry, bool], ...]:
    """Every clip and whether it is held out. Their order decides what is done to each, so new ones come last."""
    split = ((CALIBRATION, False), (HELD_OUT, True), (MORE_CALIBRATION, False))
    return tuple((entry, held_out) for part, held_out in split for entry in part)


def read_clip(entry: Entry, held_out: bool, index: int, data: Path) -> Clip:
    """Decode or draw a clip; `index` decides which of `GRADES` made it SDR. `data`: the development data's folder."""
    shots = tuple(_READERS[entry.kind](entry.name, data, GRADES[index % len(GRADES)]))
    sources, masters, overlays = [], [], []
    for number, (codes, master) in enumerate(shots):
        overlay = Overlay.subtitles(codes[0].shape[:2], number) if entry.text else Overlay.none(codes[0].shape[:2])
        shown = tuple(to_nits(add_overlay(frame, overlay)) for frame in codes)
        sources.append(shown)
        overlays.append(overlay)
        if master is not None:
            masters.append(tuple(overlay.keep(source, nits) for source, nits in zip(shown, master, strict=True)))
    name = f"{entry.kind} {entry.name}"
    return Clip(name, held_out, tuple(sources), tuple(masters) or None, tuple(overlays), entry.faces)


def to_nits(codes: Codes) -> Image:
    """8-bit BT.709 R'G'B' as the judge wants its source."""
    return source_nits(codes.astype(np.float32) / 255, BT709)


def _scenes(seed: str, data: Path, recipe: GradeRecipe) -> Iterator[Shot]:
    """Each procedural scene is a shot."""
    for scene in SCENES:
        moving = scene(int(seed))
        yield _graded([moving.render(n / 24, WIDTH, HEIGHT) for n in range(FRAMES)], recipe)


def _titles(index: str, data: Path, recipe: GradeRecipe) -> Iterator[Shot]:
    for picture in render_title(make_title(int(index)), *LARGE)[:2]:
        yield _graded(_pan(picture), recipe)


def _panorama(name: str, data: Path, recipe: GradeRecipe) -> Iterator[Shot]:
    """Two directions in which a camera turns."""
    light = read_radiance(data / "hdr" / "polyhaven" / f"{name}.hdr")
    for yaw, pitch in ((20.0, 5.0), (160.0, 12.0)):
        view = perspective_view(light, yaw, pitch, *LARGE)
        yield _graded(_pan(grade_master(view, _master_grade(name))), recipe)


def _photograph(name: str, data: Path, recipe: GradeRecipe) -> Iterator[Shot]:
    """The whole picture, then a part of it."""
    light = read_exr(data / "hdr" / "openexr" / f"{name}.exr")
    for centre, scale in (((0.5, 0.5), 1.0), ((0.3, 0.6), 0.6)):
        view = crop_view(light, centre, scale, *LARGE)
        yield _graded(_pan(grade_master(view, _master_grade(name))), recipe)


def _master_grade(name: str) -> MasterGrade:
    dark = "night" in name or name in ("CandleGlass", "StillLife")
    return MasterGrade(key_nits=8.0 if dark else 28.0, peak_nits=PEAK_NITS)


def _gain_map(name: str, data: Path, recipe: GradeRecipe) -> Iterator[Shot]:
    """A phone's own SDR and HDR pictures; nothing is graded here."""
    light, nits = read_ultrahdr(data / "pairs" / "ultrahdr" / f"{name}.jpg", 4)
    for centre, scale in (((0.5, 0.5), 1.0), ((0.3, 0.6), 0.6)):
        sdr, hdr = (_pan(crop_view(picture, centre, scale, *LARGE)) for picture in (light, nits))
        yield _paired([bt1886_eotf_inverse(np.clip(frame, 0, 1)).astype(np.float32) for frame in sdr], hdr)


def _film(name: str, data: Path, recipe: GradeRecipe) -> Iterator[Shot]:
    """Two windows of an SDR video, at its start and a little later."""
    frames = [_shrunk(frame.to_ndarray(format="rgb24")) for frame in _first_frames(data / "clips" / name)]
    for start in _starts(len(frames)):
        yield tuple(frames[start : start + FRAMES]), None


def _hdr_film(name: str, data: Path, recipe: GradeRecipe) -> Iterator[Shot]:
    """Two windows of an HDR video, which is its own master."""
    frames = [_hdr_nits(frame) for frame in _first_frames(data / "clips" / name)]
    for start in _starts(len(frames)):
        yield _graded(frames[start : start + FRAMES], recipe)


def _starts(count: int) -> tuple[int, int]:
    return 0, min(SECOND_SHOT_FRAME, count - FRAMES)


def _first_frames(path: Path) -> list[av.VideoFrame]:
    with av.open(os.fspath(path)) as container:
        frames = []
        for frame in container.decode(video=0):
            frames.append(frame)
            if len(frames) == SECOND_SHOT_FRAME + FRAMES:
                break
    return frames


def _hdr_nits(frame: av.VideoFrame) -> Image:
    """BT.2020 nits of a PQ (transfer 16) or HLG (18) frame at working size."""
    return output_nits(rgb_signal(frame, BT2020, WIDTH, WIDTH), "hdr10" if frame.color_trc == PQ_TRANSFER else "hlg")


def _shrunk(picture: NDArray) -> NDArray:
    """Longer side WIDTH, even sides."""
    scale = WIDTH / max(picture.shape[:2])
    size = (round(picture.shape[1] * scale / 2) * 2, round(picture.shape[0] * scale / 2) * 2)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _pan(picture: Image) -> list[Image]:
    windows = (picture[PAN_PX[1] * n :, PAN_PX[0] * n :] for n in range(FRAMES))
    return [np.ascontiguousarray(window[:HEIGHT, :WIDTH]) for window in windows]


def _graded(nits: list[Image], recipe: GradeRecipe) -> Shot:
    return _paired([grade(frame, recipe) for frame in nits], nits)


def _paired(signals: list[Image], nits: list[Image]) -> Shot:
    """SDR codes, and the master anchored once a shot and brought under the peak."""
    first = anchor_master(signals[0], nits[0])
    gain = np.float32(first.sum(dtype=np.float64) / max(float(nits[0].sum(dtype=np.float64)), 1e-9))
    codes = tuple(np.rint(np.clip(signal, 0, 1) * 255).astype(np.uint8) for signal in signals)
    return codes, tuple(roll_off(frame * gain, PEAK_NITS, bleach=0.0) for frame in nits)


_READERS: dict[str, Callable[[str, Path, GradeRecipe], Iterator[Shot]]] = {
    "scenes": _scenes,
    "title": _titles,
    "panorama": _panorama,
    "photograph": _photograph,
    "gainmap": _gain_map,
    "film": _film,
    "hdr_film": _hdr_film,
}
