import numpy as np
import pytest

from training.data.masters import MasterGrade
from training.data.titles import FOLDS, SETTINGS, Title, make_title, render_title
from training.data.titles.engine import Field, leaves
from training.data.titles.people import paint_person, skin_albedo

SIZE = (96, 54)


def one_of(name: str, seed: int = 5) -> Title:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    return Title(f"{name}-0000", setting, seed, MasterGrade(key_nits=sum(setting.key_nits) / 2), 0.0, 1.1, 1)


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_every_setting_is_a_finite_picture_below_its_peak(name: str) -> None:
    for seed in (1, 2):
        title = one_of(name, seed)
        nits = render_title(title, *SIZE)
        assert nits.shape == (1, SIZE[1], SIZE[0], 3)
        assert nits.dtype == np.float32
        assert np.isfinite(nits).all()
        assert nits.min() >= 0.0
        assert nits.max() <= title.grade.peak_nits
        assert np.log2(nits.max(axis=-1) + 0.01).std() > 0.2


def test_same_seed_same_pictures_another_seed_others() -> None:
    first, again = (render_title(make_title(7, 3), *SIZE) for _ in range(2))
    assert np.array_equal(first, again)
    assert make_title(7, 4) != make_title(7, 3)
    assert not np.array_equal(first[0], first[1])


def test_titles_fall_into_all_folds_and_categories_and_keep_their_place() -> None:
    titles = [make_title(index) for index in range(300)]
    assert len({title.name for title in titles}) == 300
    assert np.bincount([title.fold for title in titles], minlength=FOLDS).min() > 30
    shares = {
        c: np.mean([t.setting.category == c for t in titles]) for c in ("live_action", "animation", "low_light")
    }
    assert min(shares.values()) > 0.1
    assert {title.frames for title in titles} == {2, 3}


def test_most_live_pictures_have_lights_above_white_and_mid_tones_below() -> None:
    titles = [title for title in map(make_title, range(60)) if title.setting.category == "live_action"][:14]
    pictures = [render_title(title, *SIZE)[0].max(axis=-1) for title in titles]
    assert np.mean([picture.max() > 300.0 for picture in pictures]) > 0.6
    assert 5.0 < np.median([np.median(picture) for picture in pictures]) < 120.0


def test_leaves_have_edges_and_cover_what_they_say() -> None:
    field = Field(128, 72)
    drawn = leaves(np.random.default_rng(0), field, np.full((1, 3), 0.5), 40, (0.05, 0.3), (0.0, -0.6, 0.8))
    assert 0.2 < drawn.mask.mean() < 1.0
    assert drawn.light[drawn.mask == 0].max() == 0.0
    assert drawn.light.min() >= 0.0


def test_skin_is_redder_than_green_than_blue_at_every_depth() -> None:
    for depth in (0.12, 0.5, 1.0):
        red, green, blue = skin_albedo(depth)
        assert red > green > blue > 0.0


def test_a_person_outside_the_picture_changes_nothing() -> None:
    field, light = Field(64, 36), Field(64, 36).blank((0.2, 0.2, 0.2))
    paint_person(
        np.random.default_rng(0), field, light, (9.0, 0.5), 0.2, (1, 1, 1), (0.1, 0.1, 0.1), (0.0, -0.6, 0.8)
    )
    assert np.all(light == np.float32(0.2))
