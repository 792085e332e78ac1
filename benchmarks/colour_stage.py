"""The colour stage by itself: CPU time a frame, and error against the exact path.

    python -m benchmarks.colour_stage [--out docs/benchmarks/colour_stage.json] [--repetitions 60]

CPU time of the thread, so other work on the machine shows little. Pictures are synthetic: smooth colours with noise
of a few codes, which spreads the look-ups more than most video does. Prints Markdown, writes JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine, write_report
from toolchain.kernel import Chroma, FrameSpec, GraphicsMask, Planes, apply
from toolchain.lut import OutputFormat, bake, exact
from toolchain.models.guards import bind_guarded
from toolchain.models.registry import model_ids
from toolchain.models.spec import Controls, PixelFunction
from toolchain.video.facts import ColorInterpretation

BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
SIZES = {"1080p": (1920, 1080), "540p": (960, 540)}
OUTPUT = OutputFormat()


def picture(spec: FrameSpec, seed: int = 0) -> Planes:
    """8-bit planes of smooth colours with Gaussian noise of 2 codes; luma over the nominal range, moderate chroma."""
    rng = np.random.default_rng(seed)
    planes = []
    for index, (rows, columns) in enumerate(spec.input_shapes):
        y, x = np.mgrid[0:rows, 0:columns] / columns
        wave = np.sin(9 * x + 2 * index) * np.cos(7 * y - index)
        codes = 128 + (105 if index == 0 else 45) * wave + rng.normal(0, 2, (rows, columns))
        planes.append(np.clip(np.round(codes), 16, 235).astype(np.uint8))
    return tuple(planes)


def make_spec(size: str, chroma: Chroma = "4:2:0", output: OutputFormat = OUTPUT) -> FrameSpec:
    width, height = SIZES[size]
    return FrameSpec(width, height, 8, chroma, BT709, output)


def model(model_id: str) -> PixelFunction:
    return bind_guarded(model_id, None, Controls())


def mask_weights(spec: FrameSpec, share: float) -> NDArray[np.float32]:
    """A band across the bottom: `share` of the picture's height, as a subtitle or a ticker has it."""
    weights = np.zeros((-(-spec.height // 16), -(-spec.width // 16)), np.float32)
    weights[round(len(weights) * (1 - share)) :] = 1.0
    return weights


def time_kernel(size: str, lut_size: int, mask_share: float, repetitions: int) -> dict[str, Any]:
    spec = make_spec(size)
    lut = bake(model("bt2446a"), BT709, OUTPUT, lut_size)
    graphics = GraphicsMask(mask_weights(spec, mask_share), bake(model("direct203"), BT709, OUTPUT, lut_size))
    planes = picture(spec)
    out = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    apply(planes, out, spec, lut, graphics)  # compiles
    times_ms = []
    for _ in range(repetitions):
        start = time.thread_time()
        apply(planes, out, spec, lut, graphics)
        times_ms.append((time.thread_time() - start) * 1000)
    low, median, high = np.percentile(times_ms, [5, 50, 95]).round(2).tolist()
    return {"size": size, "lut": lut_size, "mask": mask_share, "median_ms": median, "p5_ms": low, "p95_ms": high}


def time_exact(size: str) -> dict[str, Any]:
    """The same arithmetic in numpy without a table or chroma filters, one run: what the kernel replaces."""
    width, height = SIZES[size]
    rgb = np.random.default_rng(0).random((height, width, 3))
    start = time.process_time()
    exact(rgb, model("bt2446a"), BT709, OUTPUT)
    return {"size": size, "cpu_ms": round((time.process_time() - start) * 1000)}


def measure_error(model_id: str, lut_size: int) -> dict[str, Any]:
    """Kernel against `exact`, both in whole 10-bit codes, 4:4:4 so that nothing but the table is measured."""
    spec = make_spec("540p", "4:4:4", OutputFormat(chroma="4:4:4"))
    planes = picture(spec)
    out = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    apply(planes, out, spec, bake(model(model_id), BT709, spec.output, lut_size))
    luma, blue, red = (planes[0] - 16.0) / 219, (planes[1] - 128.0) / 224, (planes[2] - 128.0) / 224
    green = luma - (0.2126 * 1.5748 * red + 0.0722 * 1.8556 * blue) / 0.7152
    rgb = np.stack([luma + 1.5748 * red, green, luma + 1.8556 * blue], axis=-1)
    wanted = np.floor(exact(rgb, model(model_id), BT709, spec.output) + 0.5)
    error = np.abs(np.stack(out, axis=-1) - wanted)
    mean, p99, largest = error.mean(), np.percentile(error, 99), error.max()
    return {
        "model": model_id,
        "lut": lut_size,
        "mean": round(float(mean), 3),
        "p99": float(p99),
        "max": float(largest),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0])]
    lines += [" | ".join(str(value) for value in row.values()) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--repetitions", type=int, default=60)
    arguments = parser.parse_args()
    cases = [(size, lut, mask) for size in SIZES for lut in (33, 65) for mask in (0.0, 0.1, 1.0)]
    result = {
        "kernel_cpu_ms_a_frame": [time_kernel(*case, arguments.repetitions) for case in cases],
        "numpy_exact_cpu_ms_a_frame": [time_exact(size) for size in SIZES],
        "error_10_bit_codes": [measure_error(model_id, lut) for model_id in model_ids("sdr2hdr") for lut in (33, 65)],
    }
    measured_on = describe_machine()
    sections = [f"## {name}\n\n{table(rows)}" for name, rows in result.items()]
    sys.stdout.write("\n\n".join([f"Measured on {measured_on}", *sections]) + "\n")
    if arguments.out:
        write_report(arguments.out, {**measured_on, **result})


if __name__ == "__main__":
    main()
