"""The published networks as models: their own definition under `apply`, guarded and held over a shot in a job."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.stills import STILL_COLOR, expanded_still, still_context
from tests.catalogue import PUBLISHED, installed
from tests.shared_data import shared_data
from toolchain.color.transfer import bt1886_eotf, pq_eotf
from toolchain.kernel import FrameSpec, apply
from toolchain.lut import OutputFormat, bake, exact, expand_still
from toolchain.models.curves import grey_nits, luminance
from toolchain.models.guards import bind_guarded
from toolchain.models.registry import get_spec
from toolchain.models.spec import Controls, PixelFunction

MARKED = [
    pytest.param(model_id, marks=[] if model_id in ("agcm", "itmlut-tv1k") else [pytest.mark.all_networks])
    for model_id in PUBLISHED
]
POINTWISE = tuple(model_id for model_id in PUBLISHED if get_spec(model_id).pointwise)
CONTROLS = Controls(runtime="torch")


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    every = request.config.getoption("--all-networks")
    with installed(tmp_path_factory.mktemp("cache"), *(PUBLISHED if every else ("agcm", "itmlut-tv1k"))) as folder:
        yield folder


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    """A photograph at 256x192, R'G'B' in [0, 1]."""
    photograph = next(shared_data("pairs", "ultrahdr").glob("*.jpg"))
    image = cv2.resize(cv2.imread(str(photograph)), (256, 192), interpolation=cv2.INTER_AREA)
    return image[..., ::-1].astype(np.float64) / 255


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("model_id", MARKED)
def test_apply_without_controls_is_the_whole_network(model_id: str, signal: np.ndarray) -> None:
    import torch

    from toolchain.models.networks.whole import run_whole
    from toolchain.models.weights import load_network

    network = load_network(get_spec(model_id)).network
    odd = signal[:171, :213]
    with torch.inference_mode():
        rgb = torch.from_numpy(odd.astype(np.float32).transpose(2, 0, 1)[np.newaxis].copy())
        expected = run_whole(network, rgb)[0].numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(expanded_still(model_id, odd, None), expected)


def psnr_db(a: np.ndarray, b: np.ndarray, peak: float) -> float:
    return float(10 * np.log10(peak**2 / np.mean((a.astype(np.float64) - b) ** 2)))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("model_id", POINTWISE)
def test_the_baked_picture_is_the_networks_to_60_db(model_id: str, signal: np.ndarray) -> None:
    """The fused kernel through a LUT of 65 points against the network itself, in 10-bit codes."""
    expand = bind_guarded(model_id, still_context(signal), CONTROLS)
    spec = FrameSpec(256, 192, 8, "rgb", STILL_COLOR, OutputFormat(chroma="4:4:4"))
    planes = tuple(np.ascontiguousarray(np.rint(signal[..., i] * 255).astype(np.uint8)) for i in range(3))
    out = tuple(np.zeros((192, 256), np.uint16) for _ in range(3))
    apply(planes, out, spec, bake(expand, STILL_COLOR, spec.output, 65))
    codes = exact(np.rint(signal * 255) / 255, expand, STILL_COLOR, spec.output)
    assert psnr_db(np.stack(out, axis=-1), codes, 1023) >= 60


def bound(model_id: str, signal: np.ndarray, controls: Controls) -> PixelFunction:
    return bind_guarded(model_id, still_context(signal), controls)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("model_id", MARKED)
def test_hazards_are_repaired(model_id: str, signal: np.ndarray) -> None:
    """Monotone greys, no component above the peak, mid-tones at the anchor, whatever the network says."""
    expand = bound(model_id, signal, CONTROLS)
    greys = grey_nits(expand, np.linspace(0, 1, 41))
    assert np.all(np.diff(greys) >= -1e-3 * greys[1:])
    assert 150 <= greys[-1] <= 1000
    mid = grey_nits(expand, np.linspace(0.3, 0.6, 13)) / (203 * np.linspace(0.3, 0.6, 13) ** 2.4)
    assert abs(np.log2(mid).mean()) < 0.15
    picture = pq_eotf(expand_still(signal, expand, STILL_COLOR, whole=not get_spec(model_id).pointwise))
    assert np.isfinite(picture).all()
    assert picture.max() <= 1000 * 1.001
    assert picture.min() >= 0
    assert np.median(luminance(picture)) > 1


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("model_id", ["itmlut-tv1k", pytest.param("itmlut-davinci", marks=pytest.mark.all_networks)])
def test_greys_of_the_colour_tables_are_in_order_in_pictures_too(model_id: str) -> None:
    """Every 10-bit code, 502 among them, which is exactly 0.5: a table has a vertex there that nothing trained."""
    signals = (np.arange(64, 941) - 64) / 876
    ramp = np.repeat(np.tile(bt1886_eotf(signals), (16, 1))[..., np.newaxis], 3, axis=2)
    greys = luminance(bind_guarded(model_id, None, CONTROLS)(ramp))[0]
    assert np.all(np.maximum.accumulate(greys) - greys <= 0.02 * greys)
    at_mid, at_three_quarters = np.interp([0.5, 0.75], signals, greys)
    assert at_three_quarters > 2 * at_mid  # a spike taken at its word would leave the greys above it flat


@pytest.mark.usefixtures("cache")
def test_numbers_held_over_a_shot_cannot_flicker(signal: np.ndarray) -> None:
    """Two frames of a shot that differ in one corner: what stays the same in the source stays so in the output."""
    changed = signal.copy()
    changed[:60, :60] = 1.0
    expand = bound("agcm", signal, CONTROLS)
    before = expand_still(signal, expand, STILL_COLOR)
    after = expand_still(changed, expand, STILL_COLOR)
    np.testing.assert_array_equal(before[70:, 70:], after[70:, 70:])


@pytest.mark.usefixtures("cache")
def test_a_runtime_of_its_own_choice_gives_the_same_picture(signal: np.ndarray, cache: Path) -> None:
    torch_nits = bound("agcm", signal, CONTROLS)(signal.reshape(-1, 3) ** 2.4)
    openvino_nits = bound("agcm", signal, Controls(runtime="openvino"))(signal.reshape(-1, 3) ** 2.4)
    np.testing.assert_allclose(openvino_nits, torch_nits, rtol=2e-3, atol=0.02)
    assert list((cache / "engines").iterdir())
