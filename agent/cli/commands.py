"""`agent process`, `sample`, `graph` and `doctor`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.engine_options import (
    EngineModelOption,
    EngineOption,
    EngineUrlOption,
    FallbackOption,
    FamilyOption,
    chosen_analyser,
)
from agent.cli.jobs import execute_job
from agent.cli.render import json_events, write_line
from agent.outputs import check_input, check_model, check_output, default_output
from agent.state import JobSpec
from agent.store import RunStore


class HdrFormat(StrEnum):
    hdr10 = "hdr10"
    hlg = "hlg"


class Codec(StrEnum):
    hevc = "hevc"
    av1 = "av1"
    prores = "prores"
    ffv1 = "ffv1"


class Runtime(StrEnum):
    tensorrt = "tensorrt"
    onnxruntime_cuda = "onnxruntime-cuda"
    torch_cuda = "torch-cuda"
    openvino = "openvino"
    onnxruntime = "onnxruntime"
    torch = "torch"


class OnReject(StrEnum):
    keep = "keep"
    direct203 = "direct203"


Input = Annotated[Path, typer.Argument(metavar="IN", help="The SDR video.", show_default=False)]
ProfileOption = Annotated[str, typer.Option("--profile", help="fast, balanced or best.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Use this model and no other.")]
PeakOption = Annotated[float | None, typer.Option("--peak-nits", min=203, max=10000, help="Peak of the HDR picture.")]
GainOption = Annotated[
    float | None, typer.Option("--mid-gain", min=-2, max=2, help="Mid-tone gain in EV against SDR at 203 nits.")
]
RuntimeOption = Annotated[
    Runtime | None, typer.Option("--runtime", help="Where networks run; without it the first that works here.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print events and the result as JSON, one object a line.")]


def process(
    input_path: Input,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The HDR file: .mp4, .mov or .mkv.", show_default=False)
    ] = None,
    hdr_format: Annotated[HdrFormat, typer.Option("--format")] = HdrFormat.hdr10,
    codec: Annotated[Codec, typer.Option("--codec")] = Codec.hevc,
    profile: ProfileOption = "balanced",
    model: ModelOption = None,
    peak_nits: PeakOption = None,
    mid_gain: GainOption = None,
    runtime: RuntimeOption = None,
    engine: EngineOption = None,
    engine_model: EngineModelOption = None,
    engine_url: EngineUrlOption = None,
    family: FamilyOption = None,
    fallback: FallbackOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Stop after the pilot; write no video.")] = False,
    as_json: JsonOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    on_reject: Annotated[
        OnReject, typer.Option("--on-reject", help="When nothing passes: keep the original, or deliver direct203.")
    ] = OnReject.keep,
) -> int:
    """Turn IN into HDR, verify it, and deliver it only if it is better than doing nothing."""
    with json_events(as_json) as events:
        check_model(model)
        source = check_input(input_path)
        target = output or default_output(source, codec.value)
        job = JobSpec(
            input=source,
            output=check_output(source, target, codec.value, overwrite or dry_run),
            hdr_format=hdr_format.value,
            codec=codec.value,
            profile=profile,
            model=model,
            peak_nits=peak_nits,
            mid_gain_ev=mid_gain,
            runtime=runtime.value if runtime else None,
            analyser=chosen_analyser(
                profile, engine=engine, model=engine_model, url=engine_url, family=family, fallback=fallback
            ),
            on_reject=on_reject.value,
            overwrite=overwrite,
            stop_after="pilot" if dry_run else "commit",
        )
        return execute_job(job, RunStore(), events)


def sample(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The SDR clip: .mp4, .mov or .mkv.")],
    with_master: Annotated[
        bool, typer.Option("--with-master", help="Also write the HDR master, the truth, as OUT's name + .master.")
    ] = False,
    size: Annotated[str, typer.Option(help="Width x height.")] = "640x360",
    seconds_per_shot: Annotated[
        float, typer.Option(min=0.2, max=60, help="Length of each of the three shots.")
    ] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="Another number draws other pictures.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> int:
    """Write a short SDR clip of three shots with sound and subtitles, made from the project's own HDR scenes."""
    from agent.cli.sample import write

    return write(output, with_master, size, seconds_per_shot, seed, overwrite)


def graph() -> int:
    """Print the graph as Mermaid."""
    from agent.graph import mermaid

    write_line(sys.stdout, mermaid().rstrip("\n"))
    return 0


def doctor(json_output: Annotated[bool, typer.Option("--json")] = False) -> int:
    """Check that this machine has all that is needed; exit 5 when it has not."""
    from agent.doctor import examine

    return examine(RunStore(), json_output)
