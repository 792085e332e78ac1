"""ColorVideoVDP: what it says where it is installed, and that nothing breaks where it is not."""

import sys

import cv2
import numpy as np
import pytest

from analysis.vqa import colorvideovdp
from analysis.vqa.colorvideovdp import STRUCTURE, jod
from analysis.vqa.spec import FramePair, JudgeControls
from analysis.vqa.view import View
from tests.analysis.vqa.pictures import expanded, scene
from toolchain.errors import EnvironmentNotReady

SOURCE = scene()
REASON = colorvideovdp.available()
installed = pytest.mark.skipif(bool(REASON), reason=REASON or "installed")


def judged(output, frames=1):
    gate = STRUCTURE.make_gate(8.5, JudgeControls(structure=True))
    for number in range(frames):
        gate.add(View(FramePair(0, 0, number, SOURCE, output)))
    return gate.result()


def test_without_the_package_it_is_not_measured_and_says_what_to_install(monkeypatch):
    def missing():
        raise EnvironmentNotReady(colorvideovdp.INSTALL)

    monkeypatch.setattr(colorvideovdp, "_package", missing)
    result = judged(SOURCE)
    assert (result.state, result.value, result.direction) == ("not_measured", None, "higher")
    assert "sdr2hdr-agent[cvvdp]" in result.detail
    assert not STRUCTURE.required


@installed
def test_an_expansion_is_seen_as_its_source_and_blur_is_not():
    assert judged(expanded(SOURCE)).state == "passed"
    assert judged(cv2.GaussianBlur(expanded(SOURCE), (0, 0), 8), frames=4).state == "failed"


@installed
def test_equal_clips_are_ten_and_the_same_again():
    damaged = cv2.GaussianBlur(SOURCE, (0, 0), 1)
    assert jod(SOURCE[None], SOURCE[None]) == pytest.approx(10, abs=1e-3)
    assert jod(damaged[None], SOURCE[None]) == jod(damaged[None], SOURCE[None]) < 10


@installed
@pytest.mark.parametrize("value", [0.0, 203.0, np.nan, np.inf])
def test_flat_pictures_and_no_numbers_are_finite(value):
    flat = np.full((1, 48, 33, 3), value, np.float32)
    assert np.isfinite(jod(flat, np.full_like(flat, 203)))


def test_a_picture_too_small_is_named():
    tiny = np.ones((1, 4, 4, 3), np.float32)
    with pytest.raises(EnvironmentNotReady, match="4x4"):
        jod(tiny, tiny)


@installed
def test_the_import_leaves_no_trace():
    assert not any(path.endswith("pycvvdp") for path in sys.path)
    assert "torchvision" not in sys.modules or sys.modules["torchvision"].__spec__ is not None
