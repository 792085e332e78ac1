"""ONNX export: dynamic sizes, parity stored beside the file, clean rebuilds, errors that tell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.toolchain.runtimes.nets import OUTPUT, PICTURE, SmallNetwork, Unexportable, small
from toolchain.errors import EngineBuildError
from toolchain.models.networks.base import GraphSpec
from toolchain.runtimes import export
from toolchain.runtimes.base import LoadedNetwork, SessionOptions
from toolchain.runtimes.export import OPSET, OnnxModel, export_onnx
from toolchain.runtimes.parity import largest_difference, parity_sizes, torch_outputs
from toolchain.runtimes.registry import get_runtime


@pytest.fixture(scope="module")
def loaded() -> LoadedNetwork:
    return small()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def exported(loaded: LoadedNetwork, cache: Path) -> OnnxModel:
    return export_onnx(loaded, "restore", cache)


def test_file_is_self_contained_and_names_its_dynamic_axes(exported: OnnxModel):
    model = onnx.load(str(exported.path), load_external_data=False)
    assert {tensor.data_location for tensor in model.graph.initializer} <= {onnx.TensorProto.DEFAULT}
    assert [opset.version for opset in model.opset_import if not opset.domain] == [OPSET]
    for value in (model.graph.input[0], model.graph.output[0]):
        axes = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert axes == ["batch", 3, "height", "width"]


def test_file_does_not_tell_where_it_was_made(exported: OnnxModel):
    assert str(Path(__file__).parents[3]).encode() not in exported.path.read_bytes()


def test_parity_is_kept_beside_the_file(exported: OnnxModel):
    sidecar = json.loads(exported.path.with_name(f"{exported.path.name}.json").read_text())
    assert sidecar["facts"]["parity"]["to_float32"] == exported.parity.to_float32
    assert 0 < exported.parity.to_float64 < 1e-5
    assert set(sidecar["key"]["versions"]) == {"torch", "onnx", "onnxscript"}


def test_parity_sizes_have_odd_and_even_multiples():
    graph = GraphSpec("g", (PICTURE,), (OUTPUT,), size_multiple=8, least_size=50)
    sizes = parity_sizes(graph)
    assert sizes == ((56, 64), (80, 88))
    assert {size // 8 % 2 for pair in sizes for size in pair} == {0, 1}


def test_second_export_is_the_first_file(loaded: LoadedNetwork, cache: Path, exported: OnnxModel):
    before = exported.path.stat().st_mtime_ns
    assert export_onnx(loaded, "restore", cache) == exported
    assert exported.path.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["truncated", "altered", "sidecar lost"])
def test_damaged_file_is_made_anew(loaded: LoadedNetwork, tmp_path: Path, damage: str):
    first = export_onnx(loaded, "render", tmp_path)
    data = first.path.read_bytes()
    match damage:
        case "truncated":
            first.path.write_bytes(data[: len(data) // 2])
        case "altered":
            first.path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case _:
            first.path.with_name(f"{first.path.name}.json").unlink()
    again = export_onnx(loaded, "render", tmp_path)
    onnx.checker.check_model(str(again.path), full_check=True)
    assert again.parity.to_float32 <= loaded.network.graph("render").tolerance


def test_other_weights_are_another_file(cache: Path):
    first = export_onnx(small(1), "condition", cache)
    assert export_onnx(small(2), "condition", cache).path != first.path


def test_other_source_is_another_file(cache: Path, monkeypatch: pytest.MonkeyPatch):
    loaded = small(1)
    first = export_onnx(loaded, "condition", cache)
    monkeypatch.setattr(export, "_source_sha256", lambda _: "edited")
    assert export_onnx(loaded, "condition", cache).path != first.path


def test_other_constants_are_another_file() -> None:
    """A network's own numbers that are no weights may come from modules outside the package of networks."""
    first, second, third = small(), small(), small()
    for known, limit in ((first, 1.5), (second, 1.5), (third, 2.0)):
        known.network.register_buffer("limit", torch.tensor(limit), persistent=False)
    keys = [export._cache_key(known, "restore") for known in (first, second, third)]
    assert keys[0] == keys[1] != keys[2]


def test_network_that_cannot_be_exported_says_why_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(
        EngineBuildError, match=r"'restore' of model 'small' cannot be exported .*: use runtime torch"
    ):
        export_onnx(small(network=Unexportable), "restore", tmp_path)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".") or path.suffix == ".tmp"]


class Strict(SmallNetwork):
    """Tolerates less than float32's rounding."""

    graphs = (GraphSpec("restore", (PICTURE,), (OUTPUT,), size_multiple=4, tolerance=1e-12),)


def test_difference_above_the_tolerance_is_refused(tmp_path: Path):
    with pytest.raises(EngineBuildError, match=r"differs between ONNX Runtime and torch by .*1e-12 is allowed"):
        export_onnx(small(network=Strict), "restore", tmp_path)
    assert not list(tmp_path.glob("*.onnx"))


def test_difference_is_infinite_for_nan_and_other_shapes():
    one = [np.ones(3, np.float32)]
    assert largest_difference(one, [np.array([1, np.nan, 1], np.float32)]) == np.inf
    assert largest_difference(one, [np.ones((1, 3), np.float32)]) == np.inf
    assert largest_difference(one, [np.full(3, 1.5)]) == 0.5


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 20), (3, 44, 16), (1, 128, 96)])
def test_sizes_other_than_the_exported_ones(
    loaded: LoadedNetwork, cache: Path, exported: OnnxModel, batch: int, height: int, width: int
):
    rgb = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(3))
    session = get_runtime("onnxruntime").open(loaded, "restore", SessionOptions(), cache)
    found = session.run({"rgb": rgb.numpy()})["picture"]
    assert largest_difference([found], torch_outputs(loaded.network, "restore", (rgb,))) < 1e-5
