"""`agent train ...`: make training data, train a model, from one recipe file each.

The libraries of training (extra `train`) are imported only here. A killed command goes on where it was when it is run
again with the same arguments.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import yaml

from agent.cli.commands import JsonOption
from agent.cli.render import human_events, json_events, show
from agent.cli.train_eval import answer_frames, evaluate_answers
from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.events import Emit, Progress

app = typer.Typer(help="Train the models of the catalogue, reproducibly.", no_args_is_help=True)
app.command("answer")(answer_frames)
app.command("eval")(evaluate_answers)

Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="A recipe, see configs/training.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Weights, metrics and checkpoints go here.")]


@app.command("itm-data")
def itm_data(
    config: Config,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The data set goes here.")],
    masters: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="HDR masters; without it $SDR2HDR_DATA.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Make the SDR/HDR pairs that `agent train itm` learns from."""
    from training.data.itm_pairs import build_from_yaml

    with _training(out, as_json) as (emit, made):

        def progress(done: int, total: int, _: str) -> None:
            emit(Progress(step="itm-data", done=done, total=total, unit="titles"))

        build_from_yaml(config, out, masters, progress)
        made(out)
    return 0


@app.command("vqa-data")
def vqa_data(
    config: Config,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The data set goes here.")],
    photos: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="HDR photographs; without it $SDR2HDR_DATA.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Make the labelled clips that `agent train vqa` learns from."""
    from training.data.vqa_data import build_from_yaml

    with _training(out, as_json) as (emit, made):

        def progress(done: int, total: int, _: str) -> None:
            emit(Progress(step="vqa-data", done=done, total=total, unit="titles"))

        build_from_yaml(config, out, photos, progress)
        made(out)
    return 0


@app.command("data")
def data(
    config: Config,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The data set goes here.")],
    masters: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="HDR photographs and clips; without it $SDR2HDR_DATA."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Clean pictures of your own, used as well.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Make the damaged frames and their reports that the analyser learns from."""
    from training.data.mllm_data import build_from_yaml

    with _training(out, as_json) as (emit, made):

        def progress(done: int, total: int, _: str) -> None:
            emit(Progress(step="data", done=done, total=total, unit="shards"))

        build_from_yaml(config, out, masters, images, progress)
        made(out)
    return 0


@app.command("itm")
def itm(
    config: Config,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Made by `agent train itm-data`.")],
    out: Out,
    as_json: JsonOption = False,
) -> int:
    """Train an SDR-to-HDR model: the curve, the shot's network or the local gain, as the recipe says."""
    with _training(out, as_json) as (emit, made):
        if "base" in _recipe(config):
            from training import itm_local

            weights = itm_local.train(itm_local.load_config(config), data, out, emit)
        else:
            from training import itm as itm_recipe

            weights = itm_recipe.train(itm_recipe.load_config(config), data, out, emit=emit)
        made(weights)
    return 0


@app.command("restore")
def restore(
    config: Config,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Photographs, the folder `hdr` of the data.")],
    out: Out,
    as_json: JsonOption = False,
) -> int:
    """Train a restoring network on photographs and scenes that it damages itself."""
    with _training(out, as_json) as (emit, made):
        from training import restore as recipe

        made(recipe.train(recipe.load_config(config), data, out, emit))
    return 0


@app.command("vqa")
def vqa(
    config: Config,
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            metavar="PATH",
            help="A folder of `agent train vqa-data`, or a CSV of mean opinion scores; may be given several times.",
        ),
    ],
    out: Out,
    videos: Annotated[
        Path | None, typer.Option("--videos", metavar="DIR", help="Where a CSV's videos are, if not beside it.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Train the judging model: on labels of reference metrics, on people's opinion scores, or on both."""
    with _training(out, as_json) as (emit, made):
        from training import vqa as recipe

        made(recipe.train(recipe.load_config(config), data, out, videos, emit))
    return 0


@app.command("expectation")
def expectation(
    config: Config,
    data: Annotated[
        list[Path], typer.Option("--data", metavar="DIR", help="Made by `agent train itm-data`; repeat.")
    ],
    out: Out,
    as_json: JsonOption = False,
) -> int:
    """Train what a graded master is expected to be, which the gate `harm` judges results by."""
    with _training(out, as_json) as (emit, made):
        from training import expectation as recipe

        made(recipe.train(recipe.load_config(config), data, out, emit))
    return 0


MllmData = Annotated[Path, typer.Option("--data", metavar="DIR", help="Made by `agent train data`.")]
Checkpoint = Annotated[Path, typer.Option("--model", metavar="DIR", help="The checkpoint to begin with.")]


@app.command("pretrain")
def pretrain(
    config: Config,
    out: Out,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Made by `agent train data`; a reader needs none.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="DIR", help="The checkpoint to go on from, instead of `start`.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Train the compact analyser's eye on samples, or its reader on simulated maps."""
    with _training(out, as_json) as (emit, made):
        from training import mllm_pretrain as recipe

        found = recipe.load_config(config)
        made(recipe.train(found.model_copy(update={"start": str(model)}) if model else found, data, out, emit))
    return 0


@app.command("join")
def join(
    eye: Annotated[Path, typer.Option("--eye", metavar="DIR", help="The checkpoint whose vision tower is taken.")],
    reader: Annotated[Path, typer.Option("--reader", metavar="DIR", help="The checkpoint of everything else.")],
    out: Out,
    as_json: JsonOption = False,
) -> int:
    """Make one compact analyser of a trained eye and a trained reader, for `agent train sft --model`."""
    with _training(out, as_json) as (_, made):
        from training import mllm_pretrain as recipe

        made(recipe.join(eye, reader, out))
    return 0


@app.command("sft")
def sft(
    config: Config,
    data: MllmData,
    out: Out,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="DIR", help="The checkpoint to begin with, instead of `start`.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Fine-tune the analyser on samples and the reports they should get."""
    with _training(out, as_json) as (emit, made):
        from training import sft as recipe

        found = recipe.load_config(config)
        made(recipe.train(found.model_copy(update={"start": str(model)}) if model else found, data, out, emit))
    return 0


@app.command("conv")
def conv(config: Config, data: MllmData, out: Out, as_json: JsonOption = False) -> int:
    """Train the baseline of the analyser: a plain convolutional net, for `agent train answer --engine cells`."""
    with _training(out, as_json) as (emit, made):
        from training import mllm_conv as recipe

        made(recipe.train(recipe.load_config(config), data, out, emit))
    return 0


@app.command("mine")
def mine(config: Config, data: MllmData, model: Checkpoint, out: Out, as_json: JsonOption = False) -> int:
    """Find the samples that the analyser can learn from by trial, for `agent train grpo --hard`."""
    with _training(out, as_json) as (emit, made):
        from training import mine as recipe

        made(recipe.mine(recipe.load_config(config), data, model, out, emit))
    return 0


@app.command("grpo")
def grpo(
    config: Config,
    data: MllmData,
    model: Checkpoint,
    out: Out,
    hard: Annotated[
        Path | None, typer.Option("--hard", metavar="FILE", help="hard.jsonl of `agent train mine`; without it all.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Train the analyser on rewards (GRPO), its vision tower frozen, and export it for transformers and vLLM."""
    with _training(out, as_json) as (emit, made):
        from training import grpo as recipe

        made(recipe.train(recipe.load_config(config), data, model, out, hard, emit))
    return 0


def _recipe(path: Path) -> dict[str, object]:
    """The recipe's mapping, to see which training it is; the training itself checks it."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is not a readable recipe: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not a recipe: a YAML mapping is needed, see configs/training")
    return found


@contextmanager
def _training(out: Path, as_json: bool) -> Iterator[tuple[Emit, Callable[[Path], None]]]:
    """Where progress goes, and where the result is told; a missing training library becomes a sentence.

    Makes `out` before anything else: a training of hours must not end without a place for its result.
    """
    _make_folder(out)
    try:
        with json_events(as_json) as events, warnings.catch_warnings():
            # TRL calls transformers by names that are on their way out: nothing that an operator could change.
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
            if events is not None:
                writer = events
                done = {"type": "job.completed", "run_id": "", "exit_code": 0, "message": "made"}
                yield writer, lambda path: writer.write({**done, "output": str(path)})
                return
            with human_events() as emit:
                yield emit, show
    except ModuleNotFoundError as error:
        raise EnvironmentNotReady(
            f"training needs {error.name}, which is not installed: pip install 'sdr2hdr-agent[train]'"
        ) from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {path} cannot be made ({error.strerror}): name another with --out") from error
