"""What restoring does to damaged pictures: our networks beside FFmpeg's filters, with a clean reference.

    python -m benchmarks.restoration --data ../shared/data [--out docs/benchmarks/restoration.json]

Sources are those that the recipes of our networks hold out (photographs, scene seeds), and real clips coded again.
Filters get the strength that is best for each damage, chosen with the reference; our networks get what
`analysis.signals` measures of the damaged frame. Prints Markdown, writes JSON. About 3 minutes of CPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

import av
import cv2
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from analysis.signals.blockiness import blockiness
from analysis.signals.blur import blur
from analysis.signals.noise import noise_sigma
from benchmarks.machine import describe_machine, write_report
from benchmarks.restoration_cases import FRAMES, HEIGHT, SHOWN, WIDTH, Packed, Sequence8, clean_sequences, damages
from benchmarks.restoration_cost import filter_cost_ms, network_cost_ms
from toolchain.errors import SubprocessFailed
from toolchain.models.registry import get_spec, model_ids
from toolchain.models.restore import restore_filters
from toolchain.models.restore_strength import compression_strength, softness_strength
from toolchain.models.restorer import Restorer
from toolchain.models.sessions import session
from toolchain.models.weights import state
from training.restore import load_config

TOP = 1023.0
RESAMPLES = 2000
SCORES = ("psnr_y_db", "psnr_yuv_db", "ssim")
NETWORKS = ("codec-clean", "clarity")
NETWORK_OF = {"coding": ("codec-clean",), "noise": ("codec-clean",), "soft": ("clarity",), "clean": NETWORKS}


@dataclass(frozen=True)
class Filter:
    """A baseline. `strengths`: the number shown -> FFmpeg's filter string. `temporal`: it looks at other frames."""

    name: str
    groups: tuple[str, ...]
    strengths: dict[float, str]
    temporal: bool = False


def catalogue(model_id: str, **parameters: float) -> str:
    return ",".join(f"{name}={options}" for name, options in restore_filters(model_id, parameters))


DAMAGED = ("coding", "noise", "clean")
FILTERS = (
    Filter("deblock", ("coding", "clean"), {t: catalogue("deblock", threshold=t) for t in (0.015, 0.03, 0.06)}),
    Filter("spp", ("coding", "clean"), {qp: f"spp=quality=4:qp={qp}" for qp in (1, 2, 5, 10)}),
    Filter("fftdnoiz", DAMAGED, {s: catalogue("denoise", sigma=s) for s in (0.4, 0.7, 1.5, 3.0, 5.0, 8.0)}),
    Filter("nlmeans", DAMAGED, {s: f"nlmeans=s={s}:p=5:r=9" for s in (1, 1.5, 3, 6, 10)}),
    Filter("hqdn3d", DAMAGED, {s: f"hqdn3d={s}" for s in (0.5, 1, 2, 4, 8, 14)}, temporal=True),
    Filter("bm3d", DAMAGED, {s: f"bm3d=sigma={s}" for s in (1, 2.5, 6, 14, 28)}),
    Filter("unsharp", ("soft",), {a: f"unsharp=5:5:{a}:5:5:0" for a in (0.4, 0.8, 1.4, 2.0, 3.0)}),
    Filter("cas", ("soft",), {s: f"cas=strength={s}:planes=1" for s in (0.2, 0.5, 0.8, 1)}),
)


# Methods: damaged 8-bit frames in, packed 10-bit codes out


def filtered(frames: Sequence[NDArray[np.uint8]], filters: str) -> list[Packed]:
    """All frames through one run of FFmpeg at 10 bits."""
    size = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{WIDTH}x{HEIGHT}", "-i", "-"]
    chain = ["-vf", f"format=yuv420p10le,{filters},format=yuv420p10le", "-f", "rawvideo", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", *size, *chain]
    done = subprocess.run(command, input=b"".join(f.tobytes() for f in frames), capture_output=True, check=False)
    codes = np.frombuffer(done.stdout, "<u2")
    if done.returncode or codes.size != len(frames) * HEIGHT * WIDTH * 3 // 2:
        raise SubprocessFailed(command, done.returncode, done.stderr.decode(errors="replace"))
    return list(codes.reshape(len(frames), HEIGHT * 3 // 2, WIDTH).astype(np.float32))


def run_filter(method: Filter, damaged: Sequence[list[NDArray[np.uint8]]], filters: str) -> list[Packed]:
    """The judged frame of each sequence; a temporal filter sees the frames before it too."""
    if not method.temporal:
        return filtered([frames[SHOWN] for frames in damaged], filters)
    return filtered([frame for frames in damaged for frame in frames], filters)[SHOWN::FRAMES]


def measured_parameters(model_id: str, luma: NDArray[np.float32]) -> dict[str, float]:
    """As `agent plan` sets them."""
    if model_id == "clarity":
        return {"softness": float(softness_strength(blur(luma)))}
    top = get_spec(model_id).parameters["sigma"].maximum
    return {
        "sigma": min(noise_sigma(luma), top),
        "compression": float(compression_strength(blockiness(luma))),
    }


def run_network(model_id: str, codes: NDArray[np.uint8]) -> Packed:
    frame = av.VideoFrame.from_ndarray(codes, "yuv420p")
    frame.pts, frame.time_base, frame.color_range = 0, Fraction(1, 25), 1
    parameters = measured_parameters(model_id, codes[:HEIGHT].astype(np.float32))
    restored = Restorer(model_id, parameters, session(model_id, "restore")).restore(frame)
    return restored.to_ndarray().astype(np.float32)


def installed_networks() -> tuple[str, ...]:
    known = [model_id for model_id in NETWORKS if model_id in model_ids("restore")]
    return tuple(model_id for model_id in known if state(get_spec(model_id)).ready)


# Scores


def scores(picture: Packed, clean: Packed) -> tuple[float, float, float]:
    """PSNR of luma and of all samples of 4:2:0, in dB of 10 bits, and SSIM of luma."""
    error = np.square(picture.astype(np.float64) - clean)
    return _db(error[:HEIGHT].mean()), _db(error.mean()), ssim(picture[:HEIGHT], clean[:HEIGHT])


def _db(mean_square: float) -> float:
    return float(10 * np.log10(TOP**2 / max(mean_square, 1e-6)))


def ssim(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Z. Wang et al., IEEE TIP 13 (4), 2004: 11x11 Gaussian of 1.5 pixels, K1 = 0.01, K2 = 0.03."""

    def mean(values: NDArray[np.float32]) -> NDArray[Any]:
        return cv2.GaussianBlur(values, (11, 11), 1.5)[5:-5, 5:-5]

    a, b = a - TOP / 2, b - TOP / 2  # float32 squares: small numbers keep their last digits
    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2, mean(a * b) - mu_a * mu_b
    c1, c2 = (0.01 * TOP) ** 2, (0.03 * TOP) ** 2
    lit_a, lit_b = mu_a + TOP / 2, mu_b + TOP / 2
    index = (2 * lit_a * lit_b + c1) * (2 * both + c2) / ((lit_a**2 + lit_b**2 + c1) * (var_a + var_b + c2))
    return float(index.mean())


def interval(differences: NDArray[np.float64], sources: Sequence[str]) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval, whole sources drawn with replacement."""
    rng = np.random.default_rng(0)
    groups = [differences[[s == source for s in sources]] for source in dict.fromkeys(sources)]
    sums, counts = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    drawn = rng.integers(len(groups), size=(RESAMPLES, len(groups)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(differences.mean()), float(low), float(high)


# The comparison


def judge(name: str, group: str, damage: Callable[..., Any], sequences: Sequence[Sequence8]) -> list[dict[str, Any]]:
    """One row a method of one damage."""
    made = [(s, frames) for i, s in enumerate(sequences) if (frames := damage(s, 1000 + i)) is not None]
    kept, damaged = [s for s, _ in made], [frames for _, frames in made]
    clean = [s.packed()[SHOWN] for s in kept]

    def table(outputs: Sequence[Packed]) -> NDArray[np.float64]:
        return np.array([scores(o, c) for o, c in zip(outputs, clean, strict=True)])

    as_is = table([frames[SHOWN].astype(np.float32) * 4 for frames in damaged])
    found = {"input": ("", as_is)}
    for method in FILTERS:
        if group in method.groups:
            choices = method.strengths if group != "clean" else dict(list(method.strengths.items())[:1])
            tried = {s: table(run_filter(method, damaged, filters)) for s, filters in choices.items()}
            best = max(tried, key=lambda strength: tried[strength][:, 0].mean())
            found[method.name] = (f"{best:g}", tried[best])
    rival = max(list(found)[1:], key=lambda method: found[method][1][:, 0].mean())
    for model_id in installed_networks():
        if model_id in NETWORK_OF[group]:
            found[model_id] = ("measured", table([run_network(model_id, frames[SHOWN]) for frames in damaged]))
    rows = [_row(name, group, method, *result, as_is, kept) for method, result in found.items()]
    for row in rows:
        if row["method"] in NETWORKS:
            ahead = found[row["method"]][1][:, 0] - found[rival][1][:, 0]
            row["beside_best_filter"] = {
                "filter": rival,
                "psnr_y_db": [round(value, 3) for value in interval(ahead, [s.source for s in kept])],
            }
    return rows


def _row(
    name: str,
    group: str,
    method: str,
    strength: str,
    values: NDArray[np.float64],
    as_is: NDArray[np.float64],
    kept: Sequence[Sequence8],
) -> dict[str, Any]:
    sources, kinds = [s.source for s in kept], np.array([s.kind for s in kept])
    gains = {key: interval(values[:, i] - as_is[:, i], sources) for i, key in enumerate(SCORES)}
    return {
        "damage": name,
        "group": group,
        "method": method,
        "strength": strength,
        "sequences": len(kept),
        **{key: round(float(values[:, i].mean()), 4) for i, key in enumerate(SCORES)},
        "least_psnr_y_db": round(float(values[:, 0].min()), 2),
        "gain": {key: [round(v, 4) for v in gain] for key, gain in gains.items()},
        "gain_psnr_y_db_by_kind": {
            str(kind): round(float((values - as_is)[kinds == kind, 0].mean()), 3) for kind in dict.fromkeys(kinds)
        },
        "psnr_y_db_by_sequence": [round(v, 3) for v in values[:, 0].tolist()],
    }


# What is shown


def markdown(rows: Sequence[dict[str, Any]], group: str) -> str:
    """Gain over the input in luma PSNR (and SSIM x 1000) for each damage and method of a group."""
    names = list(dict.fromkeys(r["damage"] for r in rows if r["group"] == group))
    methods = list(dict.fromkeys(r["method"] for r in rows if r["group"] == group and r["method"] != "input"))
    by_key = {(r["damage"], r["method"]): r for r in rows}
    last = [] if group == "clean" else ["beside the best filter"]
    lines = [f"| {' | '.join([group, 'input', *methods, *last])} |", "|---" * (len(methods) + 2 + len(last)) + "|"]
    for name in names:
        given = by_key[name, "input"]
        cells = [_cell(by_key[name, method]) for method in methods]
        ahead = "; ".join(_ahead(by_key[name, method]) for method in methods if method in NETWORKS)
        shown = [f"{given['psnr_y_db']:.2f} dB, {given['ssim']:.4f}", *cells, *[ahead][: len(last)]]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _ahead(row: dict[str, Any]) -> str:
    mean, low, high = row["beside_best_filter"]["psnr_y_db"]
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f}), {row['beside_best_filter']['filter']}"


def _cell(row: dict[str, Any]) -> str:
    mean, low, high = row["gain"]["psnr_y_db"]
    if row["group"] == "clean":
        return f"{row['psnr_y_db']:.1f} dB (least {row['least_psnr_y_db']:.1f})"
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f}); {1000 * row['gain']['ssim'][0]:+.1f}"


def costs() -> dict[str, float]:
    """CPU-ms of a 1080p frame."""
    found = {method.name: filter_cost_ms(list(method.strengths.values())[1]) for method in FILTERS}
    return found | {model_id: network_cost_ms(model_id) for model_id in installed_networks()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="development data: its folders hdr and clips")
    parser.add_argument(
        "--recipe", type=Path, default=Path(str(files("configs") / "training/restore_codec_clean.yaml"))
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--only", default="", help="only damages whose name holds this")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    split = load_config(arguments.recipe).pairs.splits["test"]
    sequences = clean_sequences(split, arguments.data / "hdr", arguments.data / "clips")
    rows: list[dict[str, Any]] = []
    for name, (group, damage) in damages().items():
        if arguments.only in name:
            rows += judge(name, group, damage, sequences)
            sys.stderr.write(f"{name}\n")
    cost = costs()
    for group in dict.fromkeys(row["group"] for row in rows):
        sys.stdout.write(f"{markdown(rows, group)}\n\n")
    sys.stdout.write("CPU-ms a 1080p frame: " + ", ".join(f"{k} {v:.0f}" for k, v in cost.items()) + "\n")
    if arguments.out:
        described = {**describe_machine(), "sources": [f"{s.kind}: {s.source}" for s in sequences]}
        write_report(arguments.out, {**described, "rows": rows, "cpu_ms_a_1080p_frame": cost})


if __name__ == "__main__":
    main()
