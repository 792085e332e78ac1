"""Banding of skies before and after `deband`, beside FFmpeg's deband, on the SDR picture and once it is expanded.

    python -m benchmarks.deband --data ../shared/data [--out docs/benchmarks/deband.json]

CAMBI with max_log_contrast=5 on 10-bit luma; luma PSNR to the sky never rounded to 8 bits; texture: the spread
of fine detail after over before, where the clean picture has some. Prints Markdown, writes JSON. About a minute.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from benchmarks.cambi import cambi
from benchmarks.colour_stage import BT709
from benchmarks.machine import describe_machine, write_report
from benchmarks.restoration_cases import Packed, Signal, coded, to_eight_bits, to_packed
from toolchain.color.primaries import conversion_matrix
from toolchain.kernel import FrameSpec, apply
from toolchain.lut import Lut3d, OutputFormat, bake
from toolchain.models.deband import Debander
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from toolchain.video.decode import planes
from training.data.grading import GradeRecipe, grade
from training.data.restore_sources import read_photograph
from training.data.scenes import SunlitLandscape

WIDTH, HEIGHT = 960, 540
TEXTURE_CODES = 1.5
"""10-bit codes of local fine detail from which the clean picture counts as textured."""

EXPANDERS = ("spline", "bt2446a")
PANORAMAS = ("venice_sunset", "kiara_1_dawn", "dikhololo_night")
Frame = av.VideoFrame


def skies(photographs: Path) -> dict[str, Signal]:
    """Drawn slopes of several kinds, a procedural landscape, and the sky of each panorama that is there."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32) / np.array([HEIGHT, WIDTH])[:, None, None]
    day = np.clip(rows + 0.1 * np.sin(2.2 * columns + 1) * rows, 0, 1)
    dusk = np.clip(rows**1.5 + 0.08 * np.cos(3 * columns) * rows, 0, 1)
    glow = np.exp(-((np.hypot((columns - 0.6) * 1.6, rows - 0.9) / 0.55) ** 2))
    found = {
        "day": _blend((0.32, 0.52, 0.82), (0.72, 0.83, 0.92), day),
        "dusk": _blend((0.07, 0.08, 0.15), (0.24, 0.17, 0.16), dusk),
        "glow": _blend((0.20, 0.25, 0.40), (0.95, 0.75, 0.55), glow),
        "landscape": grade(SunlitLandscape(301).render(210.0, WIDTH, HEIGHT)),
    }
    paths = {name: photographs / f"{name}_1k.hdr" for name in PANORAMAS}
    return found | {name: _panorama(path) for name, path in paths.items() if path.is_file()}


def _blend(top: tuple[float, ...], bottom: tuple[float, ...], share: NDArray[Any]) -> Signal:
    first, second = np.array(top), np.array(bottom)
    return (first + (second - first) * share[..., None]).astype(np.float32)


def _panorama(path: Path) -> Signal:
    """A part of the sky, enlarged and blurred until its own noise is gone."""
    part = cv2.resize(read_photograph(path)[:150, 60:327], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    part = np.maximum(cv2.GaussianBlur(part, (0, 0), 3), 0)
    nits = part @ conversion_matrix("bt709", "bt2020").T.astype(np.float32)
    return grade(nits * np.float32(60 / np.quantile(part.mean(axis=-1), 0.6)), GradeRecipe(peak_nits=2000.0))


def _frame(codes: NDArray[Any], bits: int) -> Frame:
    """Packed 4:2:0 in 10-bit codes -> a frame of that depth."""
    whole = np.rint(codes * 2 ** (bits - 10)).astype(np.uint16)
    frame = Frame(WIDTH, HEIGHT, f"yuv420p{bits}le")
    chroma = whole[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    for view, plane in zip(planes(frame), (whole[:HEIGHT], *chroma), strict=True):
        view[:] = plane
    frame.pts, frame.time_base, frame.color_range = 0, Fraction(1, 25), 1
    return frame


def as_is(frame: Frame) -> Frame:
    return frame


def ffmpeg_deband(frame: Frame) -> Frame:
    """The step's former filter, at 10 bits."""
    graph = Graph()
    source = graph.add_buffer(width=WIDTH, height=HEIGHT, format=frame.format, time_base=frame.time_base)
    wide = ("format", "yuv420p10le")
    steps = (wide, ("deband", "1thr=0.006:2thr=0.006:3thr=0.006:range=16:blur=1"), wide)
    graph.link_nodes(source, *(graph.add(*step) for step in steps), graph.add("buffersink")).configure()
    graph.vpush(frame)
    graph.vpush(None)
    return graph.vpull()


METHODS: dict[str, Callable[[Frame], Frame]] = {
    "input": as_is,
    "FFmpeg deband": ffmpeg_deband,
    "deband": Debander().restore,
}


@cache
def _table(model_id: str) -> Lut3d:
    return bake(bind_guarded(model_id, None, Controls()), BT709, OutputFormat(), 65)


def expanded(frame: Frame, model_id: str) -> NDArray[np.uint16]:
    """PQ luma in 10-bit codes."""
    spec = FrameSpec(WIDTH, HEIGHT, frame.format.components[0].bits, "4:2:0", BT709, OutputFormat())
    out = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    apply(planes(frame), out, spec, _table(model_id))
    return out[0]


def measure(clean: Packed, before: Frame, method: Callable[[Frame], Frame]) -> dict[str, float]:
    start = time.process_time()
    after = method(before)
    cpu_ms = 1000 * (time.process_time() - start)
    shares = [2.0 ** (10 - frame.format.components[0].bits) for frame in (before, after)]
    given, found = (planes(f)[0] * np.float32(share) for f, share in zip((before, after), shares, strict=True))
    textured = cv2.blur(np.square(_detail(clean[:HEIGHT])), (15, 15)) > TEXTURE_CODES**2
    kept = _detail(found)[textured].std() / _detail(given)[textured].std() if textured.any() else np.nan
    return {
        "cambi": cambi(np.rint(found).astype(np.uint16)),
        **{f"cambi_{model_id}": cambi(expanded(after, model_id), "pq") for model_id in EXPANDERS},
        "psnr_y_db": float(10 * np.log10(1023**2 / np.mean(np.square(found - clean[:HEIGHT], dtype=np.float64)))),
        "texture": float(kept),
        "cpu_ms_540p": cpu_ms,
    }


def _detail(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    return luma - cv2.GaussianBlur(luma, (0, 0), 1.5)


def compare(photographs: Path) -> list[dict[str, Any]]:
    """One row a sky, way of delivery and method."""
    rows = []
    for name, signal in skies(photographs).items():
        clean = to_packed(signal)
        rows.append(_row(name, "never in 8 bits", "input", measure(clean, _frame(clean, 12), as_is)))
        eight = to_eight_bits(clean)
        delivered = {
            "8 bits": eight,
            **{f"x264 crf {crf}": coded([eight] * 4, "libx264", crf)[2] for crf in (23, 30)},
        }
        for delivery, codes in delivered.items():
            for method, run in METHODS.items():
                rows.append(_row(name, delivery, method, measure(clean, _frame(codes * 4.0, 10), run)))
    return rows


def _row(sky: str, delivery: str, method: str, values: dict[str, float]) -> dict[str, Any]:
    known = {key: round(value, 3) for key, value in values.items() if np.isfinite(value)}
    return {"sky": sky, "delivery": delivery, "method": method, **known}


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| sky | CAMBI 10-bit SDR | after spline | after bt2446a | PSNR, dB | texture |",
        "|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((row["sky"], row["delivery"]) for row in rows):
        found = [row for row in rows if (row["sky"], row["delivery"]) == key]
        cells = [
            " / ".join(f"{row[column]:.1f}" for row in found)
            for column in ("cambi", "cambi_spline", "cambi_bt2446a", "psnr_y_db")
        ]
        texture = " / ".join(f"{row['texture']:.3f}" for row in found if "texture" in row)
        lines.append(f"| {', '.join(key)} | {' | '.join(cells)} | {texture} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="development data: its folder hdr/polyhaven")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = compare(arguments.data / "hdr" / "polyhaven")
    sys.stdout.write(f"{' / '.join(METHODS)}\n\n{markdown(rows)}\n")
    if arguments.out:
        write_report(arguments.out, {**describe_machine(), "rows": rows})


if __name__ == "__main__":
    main()
