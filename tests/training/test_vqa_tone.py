"""Errors without the tone choice: a choice costs nothing, damage does, and a curve is monotone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from analysis.vqa.display import DISPLAY_PEAK_NITS, perceived
from toolchain.color.pu21 import pu21_decode, pu21_encode
from training.data.vqa_shards import stored
from training.data.vqa_tone import TONE_ERRORS, monotone_curve, tone_free_errors

Pictures = np.ndarray


@pytest.fixture(scope="module")
def clean() -> tuple[Pictures, Pictures]:
    """Coloured texture that moves, in nits: (256, 448, 3) and (32, 72, 128, 3)."""
    rng = np.random.default_rng(0)
    still = cv2.GaussianBlur(rng.random((256, 512, 3)).astype(np.float32), (0, 0), 3)
    still = (still - still.min()) / np.ptp(still)
    wide = 1.0 + 180.0 * still**2 * np.array([1.0, 0.8, 0.6], np.float32)
    small = cv2.resize(wide, (160, 72), interpolation=cv2.INTER_AREA)
    return wide[:, :448], np.stack([small[:, index : index + 128] for index in range(32)])


def errors_of(clean: tuple[Pictures, Pictures], key: Pictures, motion: Pictures) -> dict[str, float]:
    """Of a version, given in nits, beside a master and an SDR picture that are the clean clip."""
    keys, motions = (
        np.stack([stored(perceived(part)) for part in parts])
        for parts in ((clean[0], clean[0], key), (clean[1], clean[1], motion))
    )
    return tone_free_errors(keys, motions)[2]


def test_the_clean_clip_has_no_error(clean: tuple[Pictures, Pictures]) -> None:
    found = errors_of(clean, *clean)
    assert tuple(found) == TONE_ERRORS
    # The curve's outermost knots are the means of their levels: what lies beyond them moves by less than 0.01 dE.
    assert all(value == pytest.approx(0, abs=1e-2) for value in found.values()), found


def test_a_tone_choice_costs_next_to_nothing_and_a_wild_one_is_an_excess(clean: tuple[Pictures, Pictures]) -> None:
    def toned(power: float, gain: float) -> dict[str, float]:
        return errors_of(clean, *(gain * 203 * (part / 203) ** power for part in clean))

    chosen, wild = toned(1.1, 1.2), toned(1.0, 12.0)
    assert chosen["tone_excess"] == 0
    assert chosen["toned_ssim_key"] < 2e-3
    assert chosen["toned_delta_e"] < 3
    assert wild["tone_excess"] > 0.1


@pytest.mark.parametrize(
    ("name", "error", "least"),
    [
        ("soft", "toned_ssim_key", 0.02),
        ("noisy", "toned_ssim_key", 0.05),
        ("flickering", "toned_unrest", 10.0),
        ("off in hue", "toned_delta_e", 10.0),
        ("clipped", "toned_delta_e", 5.0),
        ("banded", "toned_vmaf", 5.0),
    ],
)
def test_damage_stays_an_error(clean: tuple[Pictures, Pictures], name: str, error: str, least: float) -> None:
    rng = np.random.default_rng(1)
    peak = float(pu21_encode(DISPLAY_PEAK_NITS))
    ways = {
        "soft": lambda part: np.stack([cv2.GaussianBlur(p, (0, 0), 4) for p in part]),
        "noisy": lambda part: part * np.exp(0.3 * rng.standard_normal((*part.shape[:-1], 1))),
        "flickering": lambda part: part * (1 + 0.3 * (-1.0) ** np.arange(len(part)))[:, None, None, None],
        "off in hue": lambda part: part[..., ::-1],
        "clipped": lambda part: np.minimum(part, np.quantile(clean[0], 0.4)),
        "banded": lambda part: pu21_decode(np.rint(perceived(part) * 10) / 10 * peak),
    }
    key, motion = (ways[name](part) for part in (clean[0][None], clean[1]))
    found = errors_of(clean, np.asarray(key[0], np.float32), np.asarray(motion, np.float32))
    assert found[error] > least, found


def test_the_nearer_reference_counts(clean: tuple[Pictures, Pictures]) -> None:
    soft = [np.stack([cv2.GaussianBlur(p, (0, 0), 4) for p in part]) for part in (clean[0][None], clean[1])]
    keys, motions = (
        np.stack([stored(perceived(np.asarray(part, np.float32))) for part in parts])
        for parts in ((clean[0], soft[0][0], soft[0][0]), (clean[1], soft[1], soft[1]))
    )
    assert tone_free_errors(keys, motions)[2]["toned_ssim_key"] == pytest.approx(0, abs=1e-6)


def test_a_curve_never_falls_and_is_the_mean_where_it_rises() -> None:
    rng = np.random.default_rng(2)
    given = rng.random(20_000).astype(np.float32)
    x, y = monotone_curve(given, (given**2).astype(np.float32))
    np.testing.assert_allclose(y, x**2, atol=2e-3)
    _, turned = monotone_curve(given, (1 - given).astype(np.float32))
    np.testing.assert_allclose(turned, 0.5, atol=0.02)
    _, mixed = monotone_curve(given, np.sin(6 * given).astype(np.float32))
    assert (np.diff(mixed) >= 0).all()
