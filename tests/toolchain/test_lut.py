"""The table and the exact path: published codes, grid equality, easing, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.color.transfer import bt1886_eotf, pq_eotf
from toolchain.errors import UsageError
from toolchain.lut import DOMAIN_MAX, Lut3d, OutputFormat, bake, blend, exact, expand_still, legal_codes
from toolchain.video.facts import ColorInterpretation

BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
BT2020 = BT709.model_copy(update={"matrix": "bt2020nc", "primaries": "bt2020"})
PQ = OutputFormat()
HLG = OutputFormat(transfer="hlg")


def times_203(light):
    return light * 203.0


def grid_signals(size):
    axis = DOMAIN_MAX * np.linspace(0, 1, size) ** 2
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def test_reference_white_is_58_percent_pq_and_75_percent_hlg():
    # BT.2408-7, Table 1, rounds to full per cents; 876 and 64 are BT.2100's 10-bit limited range.
    assert exact(np.ones(3), times_203, BT709, PQ) == pytest.approx([64 + 876 * 0.58, 512, 512], abs=876 * 0.005)
    assert exact(np.ones(3), times_203, BT709, HLG) == pytest.approx([64 + 876 * 0.75, 512, 512], abs=876 * 0.005)


@pytest.mark.parametrize(("bit_depth", "black", "peak", "grey"), [(10, 64, 940, 512), (12, 256, 3760, 2048)])
def test_black_and_peak_fill_the_limited_range(bit_depth, black, peak, grey):
    output = OutputFormat(bit_depth=bit_depth)
    ends = exact(np.array([[0.0] * 3, [1.0] * 3]), lambda light: light * 10000.0, BT709, output)
    assert ends == pytest.approx(
        np.array([[black, grey, grey], [peak, grey, grey]]), abs=0.003 * 2 ** (bit_depth - 10)
    )


def test_a_709_colour_is_carried_into_2020():
    # BT.2087-0, Annex 1, M2: BT.709 red is (0.6274, 0.0691, 0.0164) in BT.2020.
    still = expand_still(np.array([[[1.0, 0.0, 0.0]]]), times_203, BT709)
    assert pq_eotf(still)[0, 0] / 203 == pytest.approx([0.6274, 0.0691, 0.0164], abs=2e-4)


@pytest.mark.parametrize("output", [PQ, HLG, OutputFormat(bit_depth=12)], ids=["pq10", "hlg10", "pq12"])
@pytest.mark.parametrize("size", [2, 9, 17])
def test_grid_points_are_the_exact_path(output, size):
    lut = bake(times_203, BT709, output, size)
    assert lut.table.shape == (size**3, 4)
    np.testing.assert_array_equal(
        lut.table[:, :3], exact(grid_signals(size), times_203, BT709, output).astype(np.float32)
    )
    assert (lut.size, lut.domain_max, lut.bit_depth) == (size, DOMAIN_MAX, output.bit_depth)


def test_super_white_is_kept_and_what_is_beyond_the_domain_clamps():
    white, super_white, end, beyond, below, black = exact(
        np.array([[1.0] * 3, [1.09] * 3, [1.1] * 3, [1.5] * 3, [-0.2] * 3, [0.0] * 3]), times_203, BT709, PQ
    )
    assert white[0] < super_white[0] < end[0]
    np.testing.assert_array_equal(end, beyond)
    np.testing.assert_array_equal(below, black)


def test_a_model_that_overshoots_stays_legal():
    low, high = legal_codes(10)
    assert (low, high) == (4, 1019)
    colours = grid_signals(5)
    codes = exact(colours, lambda light: (light - 0.5) * 1e6, BT2020, PQ)
    assert low <= codes.min() and codes.max() <= high


def test_still_is_the_same_picture_as_the_codes():
    rgb = np.random.default_rng(3).random((70, 5, 3))  # more rows than are worked on at a time
    for output in (PQ, HLG):
        still = expand_still(rgb, times_203, BT709, output.transfer)
        assert still.dtype == np.float32 and still.shape == rgb.shape
        luma = still.astype(float) @ [0.2627, 0.6780, 0.0593]
        np.testing.assert_allclose(exact(rgb, times_203, BT709, output)[..., 0], 64 + 876 * luma, atol=1e-3)


def test_source_light_is_bt1886():
    seen = []
    exact(np.full(3, 0.5), lambda light: seen.append(light) or light, BT709, PQ)
    assert seen[0] == pytest.approx([0.5**2.4] * 3) == bt1886_eotf(np.full(3, 0.5))


@settings(max_examples=20, deadline=None)
@given(weight=st.floats(0, 1))
def test_blend_eases_from_one_to_the_other(weight):
    a, b = bake(times_203, BT709, PQ, 5), bake(lambda light: light * 800.0, BT709, PQ, 5)
    eased = blend(a, b, weight)
    np.testing.assert_allclose(eased.table, (1 - weight) * a.table + weight * b.table, atol=1e-3)
    assert (eased.size, eased.domain_max, eased.bit_depth) == (a.size, a.domain_max, a.bit_depth)


def test_blend_refuses_what_does_not_fit():
    a = bake(times_203, BT709, PQ, 5)
    with pytest.raises(UsageError, match="sizes 5 and 9"):
        blend(a, bake(times_203, BT709, PQ, 9), 0.5)
    with pytest.raises(UsageError, match=r"weight of 1\.5"):
        blend(a, a, 1.5)


@pytest.mark.parametrize("size", [1, 130])
def test_bake_refuses_sizes_it_cannot_hold(size):
    with pytest.raises(UsageError, match=f"LUT size of {size}"):
        bake(times_203, BT709, PQ, size)


def test_a_model_that_returns_nan_is_refused():
    with pytest.raises(UsageError, match="outside 4 to 1019"):
        bake(lambda light: np.full_like(light, np.nan), BT709, PQ, 3)


def test_a_table_of_another_shape_is_refused():
    with pytest.raises(UsageError, match="does not fit size 3"):
        Lut3d(np.full((8, 4), 64, np.float32), 3)


def test_unknown_transfer_is_refused():
    with pytest.raises(UsageError, match="'sdr'"):
        expand_still(np.zeros((1, 1, 3)), times_203, BT709, "sdr")  # pyright: ignore[reportArgumentType]
