"""Y'CbCr matrices and code ranges against the numbers the standards print."""

from typing import get_args

import numpy as np
import pytest

from toolchain.color.ycbcr import code_range, rgb_to_ycbcr_matrix, ycbcr_to_rgb_matrix
from toolchain.errors import UsageError
from toolchain.video.facts import Matrix


@pytest.mark.parametrize(
    ("matrix", "published"),
    [
        ("bt601", [[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]]),
        ("bt709", [[1, 0, 1.5748], [1, -0.187324, -0.468124], [1, 1.8556, 0]]),
        ("bt2020nc", [[1, 0, 1.4746], [1, -0.164553, -0.571353], [1, 1.8814, 0]]),
    ],
)
def test_matrix_to_rgb_as_published(matrix, published):
    np.testing.assert_allclose(ycbcr_to_rgb_matrix(matrix), published, atol=5e-7)


@pytest.mark.parametrize("matrix", get_args(Matrix))
def test_grey_has_no_chroma_primaries_span_it_and_the_way_back_is_exact(matrix):
    forward = rgb_to_ycbcr_matrix(matrix)
    np.testing.assert_allclose(ycbcr_to_rgb_matrix(matrix) @ forward, np.eye(3), atol=1e-14)
    if matrix != "rgb":
        np.testing.assert_allclose(forward @ np.ones(3), [1, 0, 0], atol=1e-15)
        assert forward[1, 2] == pytest.approx(0.5, abs=1e-15)
        assert forward[2, 0] == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize(
    ("bit_depth", "range_", "expected"),
    [
        (8, "limited", (16, 219, 128, 224)),
        (10, "limited", (64, 876, 512, 896)),
        (12, "limited", (256, 3504, 2048, 3584)),
        (8, "full", (0, 255, 128, 255)),
        (10, "full", (0, 1023, 512, 1023)),
    ],
)
def test_code_range_of_bt2100_table_9(bit_depth, range_, expected):
    assert code_range(bit_depth, range_) == expected


@pytest.mark.parametrize(("bit_depth", "range_"), [(7, "full"), (17, "limited"), (10, "tv"), (10, "unspecified")])
def test_other_ranges_and_depths_are_refused(bit_depth, range_):
    with pytest.raises(UsageError):
        code_range(bit_depth, range_)


def test_an_unknown_matrix_is_refused_with_the_choices():
    with pytest.raises(UsageError, match=r"'ycgco'.*bt709"):
        ycbcr_to_rgb_matrix("ycgco")
