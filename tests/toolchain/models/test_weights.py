"""Weights: pulled, converted and loaded, or a clear error and nothing left behind."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import zipfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from torch import nn

from tests.toolchain.models.test_download import full_disk
from toolchain.errors import EnvironmentNotReady, InputError, UsageError
from toolchain.models import weights as module
from toolchain.models.convert import convert, convert_here
from toolchain.models.download import copy
from toolchain.models.networks.registry import network_ids
from toolchain.models.spec import ModelSpec, WeightsSpec
from toolchain.models.weights import fill, load_network, pull, read_weights, require_installed, state, weights_folder

PUBLISHED = ("agcm", "hdrtvnetpp", "hdrtvnetpp-hr", "lsn", "lsn-3dm", "lsn-davinci", "itmlut-tv1k", "itmlut-davinci")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDR2HDR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def shared_weights() -> Path:
    """The published files ($SDR2HDR_WEIGHTS, else ../shared/weights); skips where they are absent."""
    folder = Path(os.environ.get("SDR2HDR_WEIGHTS") or Path(__file__).parents[4] / "shared" / "weights")
    if not folder.is_dir():
        pytest.skip("published weights not present: shared/weights (set SDR2HDR_WEIGHTS)")
    return folder


def spec_of(weights: WeightsSpec | None, model_id: str = "toy") -> ModelSpec:
    return ModelSpec(
        id=model_id,
        title="A toy",
        task="sdr2hdr",
        source="these tests",
        licence="Apache-2.0",
        pointwise=True,
        cost_class="light",
        weights=weights,
    )


def published(folder: Path, content: bytes | None = None) -> ModelSpec:
    """A model whose published file lies in `folder`."""
    path = folder / "toy.pth"
    if content is None:
        torch.manual_seed(0)
        torch.save(nn.Linear(3, 4).state_dict(), path)
    else:
        path.write_bytes(content)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return spec_of(
        WeightsSpec(file="toy.pth", sha256=digest, size_bytes=len(data), url="https://x.invalid/toy.pth", credit="us")
    )


def data_sheet(model_id: str) -> ModelSpec:
    return ModelSpec.model_validate(yaml.safe_load((files("configs") / "models" / f"{model_id}.yaml").read_text()))


def test_a_model_is_pulled_once_and_loads_from_then_on(tmp_path: Path, cache: Path) -> None:
    spec = published(tmp_path)
    assert (state(spec).name, state(spec).ready) == ("not installed", False)
    with pytest.raises(EnvironmentNotReady, match="`agent models pull toy`"):
        require_installed(spec)
    with pytest.raises(EnvironmentNotReady, match="`agent models pull toy`"):
        read_weights(spec)
    assert not cache.exists()
    assert pull(spec, tmp_path) is True
    assert pull(spec) is False, "installed already: no network is asked"
    assert state(spec).name == "installed"
    tensors = safetensors.torch.load(read_weights(spec))
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {"weight": (4, 3), "bias": (4,)}
    assert torch.equal(tensors["weight"], torch.load(tmp_path / "toy.pth", weights_only=True)["weight"])


def test_damage_in_the_cache_is_mended_from_the_published_file_or_told(tmp_path: Path, cache: Path) -> None:
    spec = published(tmp_path)
    pull(spec, tmp_path)
    [converted] = cache.glob("*.safetensors")
    whole = converted.read_bytes()
    converted.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert read_weights(spec) == whole
    assert converted.read_bytes() == whole
    converted.write_bytes(whole[:-7])
    [original] = cache.glob("*.pth")
    original.write_bytes(original.read_bytes()[:-7])
    with pytest.raises(EnvironmentNotReady, match="damaged: run `agent models pull toy`"):
        read_weights(spec)
    assert pull(spec, tmp_path) is True
    assert read_weights(spec) == whole


def test_two_pulls_at_once_install_it_once(tmp_path: Path, cache: Path) -> None:
    spec = published(tmp_path)
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(pull(spec, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, True]
    assert sorted(path.suffix for path in cache.iterdir()) == [".lock", ".pth", ".safetensors"]


def test_a_wrong_file_in_the_folder_is_refused(tmp_path: Path, cache: Path) -> None:
    spec = published(tmp_path)
    (tmp_path / "toy.pth").write_bytes(bytes(spec.weights.size_bytes if spec.weights else 0))
    with pytest.raises(InputError, match="SHA-256"):
        pull(spec, tmp_path)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    assert state(spec).name == "not installed"


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SDR2HDR_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentNotReady, match="SDR2HDR_CACHE"):
        pull(published(tmp_path), tmp_path)


def test_only_published_weights_can_be_pulled() -> None:
    shipped = WeightsSpec(file="ours.safetensors", sha256="0" * 64, size_bytes=1, credit="us")
    with pytest.raises(UsageError, match="built in"):
        pull(spec_of(None))
    with pytest.raises(UsageError, match="come with the product"):
        pull(spec_of(shipped))
    assert state(spec_of(None)).name == "built in"
    require_installed(spec_of(None))
    with pytest.raises(UsageError, match="no network"):
        load_network(spec_of(None))


def test_shipped_weights_are_checked_against_the_data_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    data = safetensors.torch.save(nn.Linear(3, 4).state_dict())
    digest = hashlib.sha256(data).hexdigest()
    spec = spec_of(WeightsSpec(file="ours.safetensors", sha256=digest, size_bytes=len(data), credit="us"))
    assert state(spec).name == "not installed"
    with pytest.raises(EnvironmentNotReady, match="reinstall"):
        read_weights(spec)
    (tmp_path / "ours.safetensors").write_bytes(data)
    assert state(spec).name == "shipped"
    assert read_weights(spec) == data
    (tmp_path / "ours.safetensors").write_bytes(data[:-1])
    with pytest.raises(EnvironmentNotReady, match="reinstall"):
        read_weights(spec)


def test_weights_that_do_not_fit_are_named_and_change_nothing(tmp_path: Path) -> None:
    spec, network = published(tmp_path), nn.Linear(3, 4)
    before = network.weight.detach().clone()
    right = {"weight": torch.zeros(4, 3), "bias": torch.zeros(4)}
    wrong = {
        "lack bias": {"weight": right["weight"]},
        "have unknown gamma": {**right, "gamma": torch.ones(1)},
        "have another shape in weight": {**right, "weight": torch.zeros(3, 4)},
        r"lack bias and have unknown a, b, c and 1 more": {
            "weight": right["weight"],
            **dict.fromkeys("abcd", before),
        },
    }
    for words, tensors in wrong.items():
        with pytest.raises(EnvironmentNotReady, match=f"'toy' {words}: pull"):
            fill(network, tensors, spec)
        assert torch.equal(network.weight, before)
    fill(network, right, spec)
    assert torch.equal(network.weight, right["weight"])


class Payload:
    """A pickle that makes a folder when it is read with pickle.load."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(path.with_name("marker")), protocol=2))


def claims_gigabytes(path: Path) -> None:
    """An archive whose directory says that its numbers unpack to 3.7 GiB."""
    torch.save({"weight": torch.zeros(1024)}, path.with_name("small.pth"))
    with zipfile.ZipFile(path.with_name("small.pth")) as small, zipfile.ZipFile(path, "w") as huge:
        for entry in small.infolist():
            numbers = entry.filename.endswith("data/0")
            huge.writestr(entry.filename, small.read(entry), zipfile.ZIP_DEFLATED if numbers else zipfile.ZIP_STORED)
            if numbers:
                huge.getinfo(entry.filename).file_size = 0xEE000000


def text(path: Path) -> None:
    path.write_text("not weights")


HOSTILE: dict[str, Callable[[Path], None]] = {
    "code in an archive": lambda path: torch.save({"a": Payload(path.with_name("marker"))}, path),
    "claims gigabytes": claims_gigabytes,
}
"""Met in the child, as a user's pull would."""

UNFIT: dict[str, tuple[Callable[[Path], None], str]] = {
    "code in a bare pickle": (bare_pickle, "no weights file"),
    "text": (text, "no weights file"),
    "empty": (lambda path: path.touch(), "no weights file"),
    "a list": (lambda path: torch.save([torch.zeros(2)], path), "holds a list"),
    "an empty dict": (lambda path: torch.save({}, path), "holds an empty dict"),
    "nested": (lambda path: torch.save({"state": {"a": torch.zeros(2)}}, path), "holds a dict as 'state'"),
    "a number": (lambda path: torch.save({"a": torch.zeros(2), "epoch": 3}, path), "holds a int as 'epoch'"),
    "integers": (lambda path: torch.save({"a": torch.zeros(2, dtype=torch.int32)}, path), "floating-point"),
    "one number often": (
        lambda path: torch.save({"a": torch.zeros(1).expand(1 << 40)}, path),
        "more .* than it holds",
    ),
    "not a number": (lambda path: torch.save({"a": torch.tensor([1.0, float("nan")])}, path), "not finite"),
}
"""Met in this process, which is quicker: what the child does but for its limits."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_checkpoint_is_refused_and_runs_nothing(name: str, tmp_path: Path) -> None:
    checkpoint, folder = tmp_path / "given.pth", tmp_path / "converted"
    folder.mkdir()
    HOSTILE[name](checkpoint)
    with pytest.raises(InputError, match="no weights file"):
        convert(checkpoint, "0" * 64, folder)
    assert not (tmp_path / "marker").exists(), "the payload ran"
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_no_weights_file_is_refused(name: str, tmp_path: Path) -> None:
    make, words = UNFIT[name]
    checkpoint, folder = tmp_path / "given.pth", tmp_path / "converted"
    folder.mkdir()
    make(checkpoint)
    with pytest.raises(InputError, match=words):
        convert_here(checkpoint, "0" * 64, folder)
    assert not (tmp_path / "marker").exists(), "the payload ran"
    assert not list(folder.iterdir())


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    published(tmp_path)
    checkpoint = tmp_path / "toy.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-200])
    with pytest.raises(InputError, match="no weights file"):
        convert_here(checkpoint, "0" * 64, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_full_disk_leaves_no_half_conversion(tmp_path: Path) -> None:
    published(tmp_path)
    with full_disk(after_bytes=100), pytest.raises(EnvironmentNotReady, match="no space left"):
        convert_here(tmp_path / "toy.pth", "0" * 64, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.pth"]


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_the_data_sheet_describes_the_published_file(model_id: str, shared_weights: Path, tmp_path: Path) -> None:
    spec = data_sheet(model_id)
    assert spec.weights is not None and spec.weights.url is not None
    assert spec.weights.credit and spec.licence in ("MIT", "MPL-2.0")
    copy(spec.weights, shared_weights, tmp_path / "copied", lambda done, total: None)


def test_a_published_network_loads_strictly(shared_weights: Path) -> None:
    if "agcm" not in network_ids():
        pytest.skip("the network of agcm is not registered")
    spec = data_sheet("agcm")
    pull(spec, shared_weights)
    loaded = load_network(spec)
    assert spec.weights is not None and loaded.weights_sha256 == spec.weights.sha256
    assert sum(parameter.numel() for parameter in loaded.network.parameters()) == 35_251
    assert not loaded.network.training
    assert weights_folder().is_dir()
