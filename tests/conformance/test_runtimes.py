"""Every network with its own weights, on every runtime this machine has, beside torch in float32 and float64.

Exported graphs are kept in pytest's cache folder: the first run exports them (minutes), later ones only compare.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from toolchain.models.networks.registry import NETWORKS
from toolchain.models.registry import get_spec
from toolchain.models.weights import load_network, pull
from toolchain.runtimes.base import RUNTIME_NAMES, LoadedNetwork, RuntimeName, SessionOptions
from toolchain.runtimes.parity import measure_parity
from toolchain.runtimes.registry import get_runtime

Load = Callable[[str], LoadedNetwork]


EVERYWHERE = ("agcm", "lumen-shot", "lumen-local", "codec-clean", "clarity")
"""Networks that are compared in every test run. Exporting one of the others takes up to 40 s."""


def _models() -> list[object]:
    return [
        pytest.param(model_id, marks=[] if model_id in EVERYWHERE else [pytest.mark.all_networks])
        for model_id, _, _ in NETWORKS
    ]


@pytest.fixture(scope="module")
def engines(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("engines")


@pytest.fixture(scope="module")
def load(pytestconfig: pytest.Config) -> Load:
    """A network with its weights, shipped or published ($SDR2HDR_WEIGHTS, else ../shared/weights); skips without."""
    assert pytestconfig.cache is not None
    weights_cache = pytestconfig.cache.mkdir("weights")
    published = Path(os.environ.get("SDR2HDR_WEIGHTS") or Path(__file__).parents[3] / "shared" / "weights")

    @cache
    def load_once(model_id: str) -> LoadedNetwork:
        spec = get_spec(model_id)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SDR2HDR_CACHE", str(weights_cache))
            if spec.weights is not None and not spec.weights.shipped:
                if not (published / spec.weights.file).is_file():
                    pytest.skip(f"published weights not present: {spec.weights.file} (set SDR2HDR_WEIGHTS)")
                pull(spec, published)
            return load_network(spec)

    return load_once


@pytest.mark.parametrize("runtime", RUNTIME_NAMES)
@pytest.mark.parametrize("model_id", _models())
def test_every_graph_gives_the_network_s_numbers(model_id: str, runtime: RuntimeName, load: Load, engines: Path):
    ready = get_runtime(runtime).available()
    if not ready.ready:
        pytest.skip(f"{runtime} cannot run here: {ready.reason}")
    loaded = load(model_id)
    for graph in loaded.network.graphs:
        session = get_runtime(runtime).open(loaded, graph.name, SessionOptions(), engines)
        parity = measure_parity(session, loaded.network, graph.name)
        assert session.runtime == runtime
        assert parity.to_float32 <= graph.tolerance, f"{graph.name}: {parity}"
        assert parity.to_float64 <= graph.tolerance, f"{graph.name}: {parity}"


@pytest.mark.parametrize("model_id", _models())
def test_final_pq_keeps_float32_when_bf16_is_allowed(model_id: str, load: Load, engines: Path):
    loaded = load(model_id)
    for graph in loaded.network.graphs:
        if graph.pq_output:
            session = get_runtime("openvino").open(loaded, graph.name, SessionOptions(precision="bf16"), engines)
            assert measure_parity(session, loaded.network, graph.name).to_float32 <= graph.tolerance
