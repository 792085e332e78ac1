"""What a gain grid costs in the colour stage: CPU time a frame, and its error against the exact path.

    python -m benchmarks.gain_grid [--out docs/benchmarks/gain_grid.json] [--repetitions 40]

CPU time of the process (`time.process_time`); the smallest of the repetitions, for other work on the machine only
adds. Pictures as in benchmarks.colour_stage. Prints Markdown, writes JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.colour_stage import BT709, OUTPUT, SIZES, make_spec, picture, table
from benchmarks.machine import describe_machine, write_report
from toolchain.color.ycbcr import ycbcr_to_rgb_matrix
from toolchain.expanders import PREDICT_EVERY
from toolchain.gain_grid import GainGrid, LutStack, stack_luts
from toolchain.kernel import Planes, apply
from toolchain.lut import Lut3d, OutputFormat, bake, exact
from toolchain.models.guards import guarded
from toolchain.models.lumen import expand_with, shipped_numbers
from toolchain.models.lumen_local import GAINS_EV, STACK_SIZE, small_from_planes, values_from_ev
from toolchain.models.networks.lumen_local import LumenLocalNetwork
from toolchain.models.spec import Controls, PixelFunction

LUT_SIZES = (STACK_SIZE, 65)


def expansion(gain_ev: float) -> PixelFunction:
    """The curve of lumen-fixed at a gain, behind the guards."""
    curve = expand_with(shipped_numbers(), Controls().peak_nits)
    return guarded(lambda rgb: curve(rgb) * 2**gain_ev, Controls())


@cache
def gained(gain_ev: float, lut_size: int) -> Lut3d:
    return bake(expansion(gain_ev), BT709, OUTPUT, lut_size)


def grids(stack: LutStack) -> dict[str, GainGrid]:
    """A grid that stands still in one table, and one that wanders through all of them."""
    last = stack.depth - 1
    rough = np.random.default_rng(0).random((8, 9, 16)).astype(np.float32) * last
    return {
        "stack, constant grid": GainGrid(np.full((8, 9, 16), last / 2, np.float32), stack),
        "stack, grid 9x16x8": GainGrid(np.sort(rough, axis=0), stack),
    }


def time_frame(size: str, lut: Lut3d, gain: GainGrid | None, repetitions: int) -> float:
    """Least CPU-ms of converting one frame."""
    spec = make_spec(size)
    planes = picture(spec)
    out = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    apply(planes, out, spec, lut, gain=gain)  # compiles
    times_ms = []
    for _ in range(repetitions):
        start = time.process_time()
        apply(planes, out, spec, lut, gain=gain)
        times_ms.append((time.process_time() - start) * 1000)
    return round(min(times_ms), 2)


def time_network(repetitions: int) -> dict[str, Any]:
    """The network's share of a frame in torch on one thread: a small picture and a grid every few frames."""
    torch.set_num_threads(1)
    network = LumenLocalNetwork().eval()
    costs = {}
    for size in SIZES:
        spec = make_spec(size)
        planes = picture(spec)
        times_ms = []
        for _ in range(repetitions):
            start = time.process_time()
            small = small_from_planes(planes, spec)
            with torch.inference_mode():
                values_from_ev(network.condition(torch.from_numpy(small)[None])[0].numpy())
            times_ms.append((time.process_time() - start) * 1000)
        costs[size] = round(min(times_ms) / PREDICT_EVERY, 2)
    return {"colour stage": f"small picture and network, every {PREDICT_EVERY} frames, a frame", "lut": "", **costs}


def measure_error(stack: LutStack, index: float) -> dict[str, Any]:
    """Kernel against `exact` with the gain itself, in whole 10-bit codes, 4:4:4: table and stack errors together."""
    spec = make_spec("540p", "4:4:4", OutputFormat(chroma="4:4:4"))
    planes = picture(spec)
    out = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    gain = GainGrid(np.full((2, 2, 2), index, np.float32), stack)
    apply(planes, out, spec, gained(0.0, stack.size), gain=gain)
    gain_ev = float(np.interp(index, range(len(GAINS_EV)), GAINS_EV))
    wanted = np.floor(exact(rgb_signal(planes), expansion(gain_ev), BT709, spec.output) + 0.5)
    error = np.abs(np.stack(out, axis=-1) - wanted)
    mean, p99, largest = error.mean(), np.percentile(error, 99), error.max()
    return {
        "lut": stack.size,
        "gain_ev": gain_ev,
        "mean": round(float(mean), 3),
        "p99": float(p99),
        "max": float(largest),
    }


def rgb_signal(planes: Planes) -> NDArray[np.float64]:
    """8-bit BT.709 4:4:4 planes to R'G'B'."""
    ycbcr = (np.stack(planes, axis=-1) - (16.0, 128.0, 128.0)) / (219, 224, 224)
    return ycbcr @ ycbcr_to_rgb_matrix("bt709").T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--repetitions", type=int, default=40)
    arguments = parser.parse_args()
    rows, errors = [], []
    for lut_size in LUT_SIZES:
        luts = [gained(gain_ev, lut_size) for gain_ev in GAINS_EV]
        stack = stack_luts(luts)
        cases: dict[str, GainGrid | None] = {"one LUT": None, **grids(stack)}
        for name, gain in cases.items():
            costs = {size: time_frame(size, luts[2], gain, arguments.repetitions) for size in SIZES}
            rows.append({"colour stage": name, "lut": lut_size, **costs})
        errors += [measure_error(stack, index / 2) for index in range(9)]
    rows += [time_network(arguments.repetitions)]
    measured_on = describe_machine()
    sys.stdout.write(f"Measured on {measured_on}\n\n## CPU-ms a frame\n\n{table(rows)}\n")
    sys.stdout.write(f"\n## Error in 10-bit codes\n\n{table(errors)}\n")
    if arguments.out:
        write_report(arguments.out, {**measured_on, "cpu_ms_a_frame": rows, "error_10_bit_codes": errors})


if __name__ == "__main__":
    main()
