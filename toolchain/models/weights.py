"""Weights of the catalogue's networks: where they are kept, how they are fetched, and how a network gets them.

    <cache>/weights/<sha256>.pth                        the published file, its content checked against the catalogue
    <cache>/weights/<sha256>.<own sha256>.safetensors   made from it once; what networks are loaded from
    <cache>/weights/<sha256>.pth.part                   a download that was cut off, to be resumed

<cache> is $SDR2HDR_CACHE, else the user's cache folder. Every file is checked against the hash in its name, or in the
catalogue, each time it is read. Weights that ship with the product are package data of toolchain.models.shipped.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.request import OpenerDirector

from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.files import cache_folder, disk_errors, sha256_file
from toolchain.models.convert import convert
from toolchain.models.download import BytesDone, copy, download
from toolchain.models.spec import ModelSpec, WeightsSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from toolchain.runtimes.base import LoadedNetwork

StateName = Literal["built in", "shipped", "installed", "not installed"]


@dataclass(frozen=True)
class ModelState:
    """Whether a model can run here. `message`: one sentence; for a model that cannot, how to get it."""

    name: StateName
    message: str

    @property
    def ready(self) -> bool:
        return self.name != "not installed"


def weights_folder() -> Path:
    """Where pulled weights are kept; it may not exist yet."""
    return cache_folder() / "weights"


def state(spec: ModelSpec) -> ModelState:
    """A quick look that reads no weights: damage shows itself, and is told, when a network is loaded."""
    weights = spec.weights
    if weights is None:
        return ModelState("built in", "it needs no weights")
    if weights.shipped:
        if files("toolchain.models.shipped").joinpath(weights.file).is_file():
            return ModelState("shipped", f"its weights, {weights.file}, come with the product")
        return ModelState("not installed", _shipped_damage(spec, weights))
    if _converted_files(weights) or _original(weights).is_file():
        return ModelState("installed", f"its weights are in {weights_folder()}")
    size_mb = weights.size_bytes / 1e6
    return ModelState(
        "not installed", f"Model {spec.id!r} is not installed: run `agent models pull {spec.id}` ({size_mb:.1f} MB)."
    )


def require_installed(spec: ModelSpec) -> None:
    """Raises EnvironmentNotReady, saying how to get the weights, when the model cannot run here."""
    found = state(spec)
    if not found.ready:
        raise EnvironmentNotReady(found.message)


def require_published(spec: ModelSpec) -> WeightsSpec:
    """The weights that `pull` fetches. Raises UsageError for a model that needs none or brings its own."""
    if spec.weights is None or spec.weights.shipped:
        reason = "its weights come with the product" if spec.weights else "it is built in"
        raise UsageError(f"Model {spec.id!r} needs no download: {reason}.")
    return spec.weights


def pull(
    spec: ModelSpec,
    source_folder: Path | None = None,
    progress: BytesDone = lambda done, total: None,
    opener: OpenerDirector | None = None,
) -> bool:
    """Install a published model's weights; False when they were installed, and whole, already.

    Fetched from the catalogue's URL, or copied from `source_folder` (under the catalogue's file name); checked
    against the catalogue's size and SHA-256 before anything reads them; converted to safetensors. A second pull of
    the same weights waits for the first. `opener`: how URLs are opened, by default over https only.

    Raises UsageError for a model without published weights, InputError for a wrong file in `source_folder`, and
    EnvironmentNotReady when fetching or writing fails; what was fetched so far is kept and resumed.
    """
    weights = require_published(spec)
    with _locked(weights):
        if _read_converted(weights) is not None:
            return False
        if not _original_is_whole(weights):
            if source_folder is None:
                download(weights, _original(weights), progress, opener)
            else:
                copy(weights, source_folder, _original(weights), progress)
        _convert(weights)
    return True


def load_network(spec: ModelSpec) -> LoadedNetwork:
    """The model's network with its weights in place, on the CPU, in evaluation mode.

    Raises UsageError for a model that is no network, and EnvironmentNotReady for weights that are absent, damaged, or
    do not fit the network.
    """
    import safetensors.torch

    from toolchain.models.networks.registry import build_network
    from toolchain.runtimes.base import LoadedNetwork

    if spec.weights is None:
        raise UsageError(f"Model {spec.id!r} is built in and has no network to load.")
    network = build_network(spec.id)
    fill(network, safetensors.torch.load(read_weights(spec)), spec)
    return LoadedNetwork(spec.id, network, spec.weights.sha256)


def read_weights(spec: ModelSpec) -> bytes:
    """The model's safetensors file, checked. A damaged one is made anew from the published file where that is kept.

    Raises EnvironmentNotReady for weights that are absent or damaged.
    """
    require_installed(spec)
    weights = spec.weights
    assert weights is not None  # noqa: S101 - callers ask for networks only
    if weights.shipped:
        return _read_shipped(spec, weights)
    data = _read_converted(weights)
    if data is None and _original_is_whole(weights):
        with _locked(weights):
            _convert(weights)
        data = _read_converted(weights)
    if data is None:
        raise EnvironmentNotReady(
            f"The weights of model {spec.id!r} in {weights_folder()} are damaged: run `agent models pull {spec.id}`."
        )
    return data


def fill(network: nn.Module, tensors: Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Copy `tensors` into `network`; every name and every shape must match, else EnvironmentNotReady."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    faults = {
        "lack": sorted(expected.keys() - given.keys()),
        "have unknown": sorted(given.keys() - expected.keys()),
        "have another shape in": sorted(n for n in expected.keys() & given.keys() if expected[n] != given[n]),
    }
    found = [f"{verb} {_first(names)}" for verb, names in faults.items() if names]
    if found:
        remedy = (
            "reinstall sdr2hdr-agent" if spec.weights and spec.weights.shipped else "pull the published ones again"
        )
        raise EnvironmentNotReady(f"The weights of model {spec.id!r} {' and '.join(found)}: {remedy}.")
    network.load_state_dict(dict(tensors), strict=True)


def _first(names: list[str], count: int = 3) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _original(weights: WeightsSpec) -> Path:
    return weights_folder() / f"{weights.sha256}.pth"


def _original_is_whole(weights: WeightsSpec) -> bool:
    path = _original(weights)
    return path.is_file() and path.stat().st_size == weights.size_bytes and sha256_file(path) == weights.sha256


def _converted_files(weights: WeightsSpec) -> list[Path]:
    return sorted(weights_folder().glob(f"{weights.sha256}.*.safetensors"))


def _read_converted(weights: WeightsSpec) -> bytes | None:
    """The converted file's content if it is what its name says; damaged ones are removed."""
    for path in _converted_files(weights):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == path.name.split(".")[1]:
            return data
        with contextlib.suppress(OSError):  # a shared cache may be read-only; the caller tells of the damage
            path.unlink()
    return None


def _read_shipped(spec: ModelSpec, weights: WeightsSpec) -> bytes:
    data = files("toolchain.models.shipped").joinpath(weights.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != weights.sha256:
        raise EnvironmentNotReady(_shipped_damage(spec, weights))
    return data


def _shipped_damage(spec: ModelSpec, weights: WeightsSpec) -> str:
    return f"The weights of model {spec.id!r}, {weights.file}, are not as shipped: reinstall sdr2hdr-agent."


def _convert(weights: WeightsSpec) -> None:
    convert(_original(weights), weights.sha256, weights_folder())


@contextlib.contextmanager
def _locked(weights: WeightsSpec) -> Iterator[None]:
    """One process at a time per weights file; the lock goes with its holder."""
    folder = weights_folder()
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / f".{weights.sha256}.lock").open("a")
    except (FileExistsError, NotADirectoryError) as error:
        raise EnvironmentNotReady(
            f"{folder} cannot be made, a file is in the way: remove it, or set SDR2HDR_CACHE to another folder"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
