"""How well models give back graded masters they have not seen: `python -m training.itm_eval --help`.

Every model runs as the pipeline binds it: anchored at a mid-gain of 0, guarded, at a peak of 1000 nits. Figures are
taken as is and after one fitted exposure; intervals of differences are bootstrapped over titles, not over clips.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from rich.progress import track

from toolchain.color.ictcp import delta_e_itp
from toolchain.color.primaries import convert
from toolchain.color.pu21 import pu21_encode
from toolchain.color.transfer import bt1886_eotf
from toolchain.files import write_atomic
from toolchain.models.anchor import anchored
from toolchain.models.curves import luminance
from toolchain.models.guards import bind_guarded, guarded
from toolchain.models.lumen import LumenShot, Numbers, Run, expand_with
from toolchain.models.networks.lumen import LumenShotNetwork
from toolchain.models.neural import NeuralModel
from toolchain.models.registry import get_spec, model_ids
from toolchain.models.spec import Controls, PixelFunction, ShotContext, ShotTone
from toolchain.models.weights import state
from training.itm_data import PairMeta, first_meta, read_title, title_files
from training.itm_model import expand as torch_expand
from training.losses import PSNR_PEAK_PU
from training.losses import delta_e_itp as torch_delta_e
from training.losses import pu21_psnr as torch_psnr

Bind = Callable[[ShotContext, Controls], PixelFunction]
STRIDE = 3
"""Every third pixel of every third row is judged: 4128 of a picture's 36864."""
ORACLE_STRIDE = 8

EXPOSURES_EV = np.linspace(-1.5, 1.5, 31)
BOOTSTRAPS = 4000


@dataclass(frozen=True)
class Score:
    """One model on one clip. PU21-PSNR in dB and mean dE-ITP, as is and after the one exposure that fits best."""

    psnr_db: float
    delta_e: float
    psnr_exposed_db: float
    delta_e_exposed: float


# Models under test


def catalogue_models(wanted: Sequence[str] = ()) -> dict[str, Bind]:
    """The SDR-to-HDR models of the catalogue whose weights are here, or those that are `wanted`."""
    ids = [i for i in model_ids("sdr2hdr") if state(get_spec(i)).ready and (not wanted or i in wanted)]
    return {i: _catalogue_bind(i) for i in ids}


def _catalogue_bind(model_id: str) -> Bind:
    return lambda shot, controls: bind_guarded(model_id, shot, controls)


def published_networks(wanted: Sequence[str]) -> dict[str, Bind]:
    """Networks as published but for the peak: not anchored, no guard, on torch, which needs no compiling.

    Their figures after one fitted exposure are the ones to compare: no anchoring could do better.
    """
    return {model_id: _published_bind(NeuralModel(get_spec(model_id))) for model_id in wanted}


def _published_bind(model: NeuralModel) -> Bind:
    def bind(shot: ShotContext, controls: Controls) -> PixelFunction:
        expand = model.bind(shot, controls.model_copy(update={"runtime": "torch"}))
        return lambda rgb: np.minimum(expand(rgb), controls.peak_nits)

    return bind


def trained_models(folder: Path) -> dict[str, Bind]:
    """`lumen-*.json` and `lumen-*.safetensors` of a training's folder, by name, bound as the catalogue would."""
    models: dict[str, Bind] = {}
    for path in sorted(folder.glob("lumen-*.json")):
        models[path.stem] = _fixed_bind(Numbers.model_validate_json(path.read_text(encoding="utf-8")))
    for path in sorted(folder.glob("lumen-*.safetensors")):
        models[path.stem] = _shot_bind(_torch_run(path))
    return models


def _fixed_bind(numbers: Numbers) -> Bind:
    return lambda _, controls: _finished(expand_with(numbers, controls.peak_nits), controls)


def _shot_bind(run: Run) -> Bind:
    model = LumenShot(get_spec("direct203"), run)  # the sheet is not read: only key frames and controls count
    return lambda shot, controls: _finished(
        expand_with(model.numbers(shot.pictures, controls), controls.peak_nits), controls
    )


def _finished(expand: PixelFunction, controls: Controls) -> PixelFunction:
    if controls.mid_gain_ev is not None:
        expand = anchored(expand, controls.mid_gain_ev)
    return guarded(expand, controls)


def _torch_run(path: Path) -> Run:
    from safetensors.torch import load_file

    network = LumenShotNetwork().eval()
    network.load_state_dict(load_file(path), strict=True)

    @torch.inference_mode()
    def run(inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        numbers = network.condition(torch.from_numpy(inputs["small"]), torch.from_numpy(inputs["controls"]))
        return {"numbers": numbers.numpy()}

    return run


# One clip


def judge_title(
    path: Path,
    models: Mapping[str, Bind],
    wanted: Callable[[PairMeta], bool],
    controls: Controls,
    most: int,
    oracle: bool,
) -> list[dict[str, object]]:
    """A clip of every grade of a title, at most `most`: {"meta": ..., "scores": {model: Score as a dict}}.

    `oracle`: with `fitted_oracle` among the models; it takes as long as all others.
    """
    pairs = read_title(path)
    records: list[dict[str, object]] = []
    chosen = _one_of_each_grade(pairs.metas, wanted)[:most]
    if not chosen:
        return []
    ceilings = fitted_oracle(pairs.sdr[chosen], pairs.hdr[chosen], controls.peak_nits) if oracle else []
    for place, i in enumerate(chosen):
        light = convert(bt1886_eotf(pairs.sdr[i].astype(np.float32) / 255), "bt709", "bt2020").astype(np.float32)
        truth = pairs.hdr[i, ::STRIDE, ::STRIDE].astype(np.float64)
        shot = _shot_of(light)
        scores = {name: asdict(_judge(bind(shot, controls), light, truth, name)) for name, bind in models.items()}
        if oracle:
            scores["oracle"] = asdict(ceilings[place])
        records.append({"meta": pairs.metas[i].model_dump(), "scores": scores})
    return records


def _one_of_each_grade(metas: Sequence[PairMeta], wanted: Callable[[PairMeta], bool]) -> list[int]:
    """One frame of each grade, in an order that the title alone decides."""
    rng = np.random.default_rng(list(metas[0].title.encode()))
    found: dict[tuple[str, str], int] = {}
    for i in rng.permutation(len(metas)).tolist():
        if wanted(metas[i]):
            found.setdefault((metas[i].family, metas[i].local), i)
    return list(found.values())


def _shot_of(light: NDArray[np.float32]) -> ShotContext:
    luma = np.clip(luminance(np.clip(light, 0, None)), 0, 1) ** (1 / 2.4)
    shares = np.bincount(np.minimum((luma * 256).astype(int), 255).ravel(), minlength=256) / luma.size
    return ShotContext(ShotTone(histogram=tuple(shares.tolist())), (light,), light.shape[:2])


def _judge(expand: PixelFunction, light: NDArray[np.float32], truth: NDArray[np.float64], name: str) -> Score:
    spatial = name in model_ids("sdr2hdr") and not get_spec(name).pointwise
    result = expand(light)[::STRIDE, ::STRIDE] if spatial else expand(light[::STRIDE, ::STRIDE])
    return score(result, truth)


def score(result: NDArray[np.floating], truth: NDArray[np.floating]) -> Score:
    """(H, W, 3) nits, twice."""
    aimed = pu21_encode(truth)

    def psnr(nits: NDArray[np.floating]) -> float:
        return float(10 * np.log10(PSNR_PEAK_PU**2 / (np.mean((pu21_encode(nits) - aimed) ** 2) + 1e-6)))

    few = np.s_[::2, ::2]
    coarse = [np.mean((pu21_encode(result[few] * 2.0**ev) - aimed[few]) ** 2) for ev in EXPOSURES_EV]
    exposed = result * 2.0 ** EXPOSURES_EV[int(np.argmin(coarse))]
    if psnr(exposed) < psnr(result):
        exposed = result
    des = [float(delta_e_itp(nits, truth).mean()) for nits in (result, exposed)]
    return Score(psnr(result), des[0], psnr(exposed), des[1])


def fitted_oracle(
    sdr: NDArray[np.uint8], hdr: NDArray[np.float16], peak_nits: float, steps: int = 150
) -> list[Score]:
    """What the 22 numbers reach when they are fitted to the clip's own truth: the ceiling of this class of model."""
    signal = torch.from_numpy(sdr[:, ::ORACLE_STRIDE, ::ORACLE_STRIDE].reshape(len(sdr), -1, 3)).float() / 255
    truth = torch.from_numpy(hdr[:, ::ORACLE_STRIDE, ::ORACLE_STRIDE].reshape(len(hdr), -1, 3)).float()
    peaks = torch.full((len(sdr),), peak_nits)
    start = Numbers(contrast=(1.0,) * 16, saturation_ev=(0, 0, 0, 0), level_mix=0.5, offset_nits=0).vector()
    vectors = torch.tensor(np.tile(start, (len(sdr), 1)), dtype=torch.float32, requires_grad=True)
    shift = torch.zeros(len(sdr), requires_grad=True)
    optimizer = torch.optim.Adam([vectors, shift], lr=0.03)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / steps) + 0.002
        loss = -torch_psnr(torch_expand(signal, vectors, peaks, shift), truth).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        result = torch_expand(signal, vectors, peaks, shift)
        psnr, chroma = torch_psnr(result, truth).tolist(), torch_delta_e(result, truth).tolist()
    return [Score(db, de, db, de) for db, de in zip(psnr, chroma, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge models on the titles of some splits and write every clip's scores as JSON lines, resumable by title."""
    parser = argparse.ArgumentParser(prog="python -m training.itm_eval", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of pairs")
    parser.add_argument("--splits", nargs="+", default=["masters"])
    parser.add_argument("--titles", type=Path, help="JSON list of titles: judge these only")
    parser.add_argument("--trained", type=Path, help="folder with lumen-*.json and lumen-*.safetensors")
    parser.add_argument("--models", nargs="*", default=[], help="of the catalogue; all that are installed by default")
    parser.add_argument("--profiles", nargs="+", default=["anchored"], help="ways of anchoring that are judged")
    parser.add_argument("--skip-local", nargs="+", default=[], help="kinds of local work that are left out")
    parser.add_argument("--mid-gain-ev", type=float, default=0.0)
    parser.add_argument("--native", action="store_true", help="mid-tones as each model has them, not anchored")
    parser.add_argument("--published", nargs="*", default=[], help="networks judged as published, see the code")
    parser.add_argument("--peak-nits", type=float, default=1000.0)
    parser.add_argument("--clips", type=int, default=99, help="of a title, at most")
    parser.add_argument("--every", type=int, default=1, help="judge each n-th title only")
    parser.add_argument("--oracle", action="store_true", help="also fit the numbers to each clip's own truth")
    parser.add_argument("--out", type=Path, required=True, help="a JSON lines file, appended to")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    models = published_networks(options.published) or catalogue_models(options.models)
    models |= trained_models(options.trained) if options.trained else {}
    done = {record["meta"]["title"] for record in read_records(options.out)}
    wanted = json.loads(options.titles.read_text(encoding="utf-8")) if options.titles else None

    def asked_for(meta: PairMeta) -> bool:
        return meta.profile in options.profiles and meta.local not in options.skip_local

    mid_gain_ev = None if options.native else options.mid_gain_ev
    controls = Controls(peak_nits=options.peak_nits, mid_gain_ev=mid_gain_ev)
    for path in track(title_files(options.data, options.splits)[:: options.every], description="titles"):
        title = first_meta(path).title
        if title in done or (wanted is not None and title not in wanted):
            continue
        records = judge_title(path, models, asked_for, controls, options.clips, options.oracle)
        lines = "".join(json.dumps(record) + "\n" for record in records)
        before = options.out.read_text(encoding="utf-8") if options.out.exists() else ""
        write_atomic(options.out, before + lines)


_RECORDS = TypeAdapter(dict[str, dict[str, object]])


def read_records(path: Path) -> list[dict[str, dict]]:
    """The records of a file that `main` wrote; none for a file that is not there."""
    if not path.exists():
        return []
    return [_RECORDS.validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
