import cv2
import numpy as np
import pytest

from toolchain.errors import UsageError
from training.data.scenes import PEAK_NITS, SCENES, scene_by_name
from training.data.scenes.animation import TITLE_FROM_S

NAMES = [scene.name for scene in SCENES]
SIZE = (160, 90)


def _luminance(nits: np.ndarray) -> np.ndarray:
    return nits @ np.array([0.2627, 0.6780, 0.0593])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [SIZE, (101, 67), (90, 160)])
def test_render_keeps_its_contract(name: str, size: tuple[int, int]) -> None:
    for time_s in (0.0, 1.37, 30.0):
        picture = scene_by_name(name).render(time_s, *size)
        assert picture.shape == (size[1], size[0], 3)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert picture.min() >= 0.0
        assert picture.max() <= PEAK_NITS


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_picture_and_another_seed_another_one(name: str) -> None:
    first, again, other = (scene_by_name(name, seed).render(0.7, *SIZE) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 1.0


@pytest.mark.parametrize("name", NAMES)
def test_order_of_calls_does_not_matter(name: str) -> None:
    scene = scene_by_name(name)
    early = scene.render(0.25, *SIZE).copy()
    scene.render(1.5, *SIZE)
    assert np.array_equal(scene.render(0.25, *SIZE), early)


@pytest.mark.parametrize("name", NAMES)
def test_picture_moves_a_little_from_frame_to_frame(name: str) -> None:
    scene = scene_by_name(name)
    now, next_frame, later = (_luminance(scene.render(time_s, *SIZE)) for time_s in (0.0, 1 / 24, 0.4))
    assert 0.0 < np.abs(next_frame - now).mean() < 0.25 * now.mean()
    assert np.abs(later - now).mean() > np.abs(next_frame - now).mean()


@pytest.mark.parametrize("name", NAMES)
def test_another_size_shows_the_same_composition(name: str) -> None:
    small, large = (scene_by_name(name).render(0.5, 160 * scale, 90 * scale) for scale in (1, 3))
    shrunk = cv2.resize(large, SIZE, interpolation=cv2.INTER_AREA)
    blurred = [cv2.GaussianBlur(_luminance(picture) ** (1 / 2.4), (0, 0), 2) for picture in (small, shrunk)]
    assert np.corrcoef(blurred[0].ravel(), blurred[1].ravel())[0, 1] > 0.97


@pytest.mark.parametrize("seed", range(4))
def test_light_levels_are_those_of_the_kind_of_scene(seed: int) -> None:
    interior, landscape, animation = (_luminance(scene(seed).render(0.5, *SIZE)) for scene in SCENES)
    assert np.median(interior) < 20.0  # a dark room ...
    assert 700.0 < interior.max() <= 960.0  # ... with a lamp near 900 nits
    assert 60.0 < np.median(landscape) < 203.0
    assert landscape.max() > 900.0
    assert 40.0 < np.median(animation) < 203.0
    assert 600.0 < animation.max() < 850.0
    for picture in (interior, landscape, animation):
        assert 0.002 < (picture > 203.0).mean() < 0.5  # highlights to expand, and a body of mid-tones


def test_title_is_white_at_reference_level() -> None:
    scene = scene_by_name("animation")
    before, after = (scene.render(time_s, 640, 360) for time_s in (TITLE_FROM_S - 0.01, TITLE_FROM_S))
    changed = np.abs(after - before).sum(axis=-1) > 20.0
    card = after[int(0.87 * 360) : int(0.95 * 360), 160:480]
    assert changed.mean() > 0.05
    assert card.max() == pytest.approx(203.0, abs=0.5)


def test_animation_is_flat_and_live_scenes_are_not() -> None:
    shares = {}
    for scene in SCENES:
        blocks = scene(0).render(1.0, 640, 352)[..., 1].reshape(44, 8, 80, 8)
        shares[scene.name] = float((np.ptp(blocks, axis=(1, 3)) < 1e-3).mean())
    assert shares["animation"] > 0.5
    assert shares["interior"] < 0.05
    assert shares["landscape"] < 0.05


def test_unknown_scene_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="interior, landscape, animation"):
        scene_by_name("desert")
