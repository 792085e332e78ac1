"""The judging network's training set: built small, resumed, labelled anew; every damage shows and is measured."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from analysis.vqa.colorvideovdp import available
from analysis.vqa.display import CLIP_FRAMES
from tests.shared_data import shared_data
from toolchain.color.transfer import bt1886_eotf_inverse, pq_eotf, pq_eotf_inverse
from toolchain.errors import InputError, UsageError
from toolchain.lut import expand_still
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from training.data import vqa_data
from training.data.vqa_damages import DAMAGES, STRENGTHS, damaged
from training.data.vqa_data import VqaDataConfig, build, build_from_yaml, load
from training.data.vqa_jod import jod_losses
from training.data.vqa_labels import LabelMap, Reference, label_luma
from training.data.vqa_media import BT709, HDR, SDR, Clip, Medium, expanded
from training.data.vqa_shards import stored
from training.data.vqa_sources import drawn_titles, photo_titles, scene_titles, split_of
from training.data.vqa_tone import TONE_RAW
from training.data.vqa_versions import BASE, MODELS, Plan, plans

ITP = LabelMap(of={"delta_e_itp": 1.0, "unrest_itp": 1.0}, half=15.0, slope=1.5)
STRUCTURE = LabelMap(of={"ms_ssim_error": 1.0}, half=0.03, slope=1.0)
SMALL = VqaDataConfig(
    drawn=1, scenes=0, photo_shots=0, damages=2, renditions=1, labels={"itp": ITP, "structure": STRUCTURE}
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vqa")
    build(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def master() -> Clip:
    """Moving stripes and squares in colour from 0.5 to 700 nits, small."""
    y, x = np.mgrid[0:64, 0:96].astype(np.float32)
    frames = []
    for index in range(CLIP_FRAMES):
        moved = x + 0.5 * index
        texture = 0.5 + 0.25 * np.sin(moved / 2.5) * np.cos(y / 3.0) + 0.25 * np.sin(moved / 23 + y / 17)
        nits = 0.5 + 200 * texture[..., None] ** 2 * np.array([1.0, 0.7, 0.4]) * (0.3 + y[..., None] / 64)
        nits[10:20, 40 + index // 2 : 52 + index // 2] = (700, 650, 600)
        frames.append(nits)
    return np.asarray(frames, np.float32)


# The set


def test_a_built_set_is_what_its_manifest_says(built: Path) -> None:
    data = load(built)
    rows = [row for split in ("train", "validation", "test") for row in data.rows(split)]
    assert len(rows) == data.manifest["counts"]["versions"] == 5
    assert [row.kind for row in rows[:2]] == ["master", "direct203"]
    assert {row.base for row in rows} == {BASE}
    assert rows[0].labels["itp"] > rows[BASE].labels["itp"]
    assert rows[0].labels["structure"] > 0.7
    key, motion = data.key(rows[0]), data.motion(rows[0])
    assert key.std() > 500
    assert np.ptp(motion.astype(np.int64), axis=0).max() > 100
    assert not np.array_equal(key, data.key(rows[BASE]))


def test_a_stopped_build_goes_on_to_the_same_bytes(built: Path) -> None:
    files = {path: path.read_bytes() for path in built.rglob("*.*") if path.is_file()}
    next(path for path in files if path.suffix == ".json" and path.name != "manifest.json").unlink()
    (built / "manifest.json").unlink()
    build(SMALL, built)
    assert {path: path.read_bytes() for path in files} == files


def test_other_maps_label_anew_without_drawing(built: Path) -> None:
    pictures = {path: path.stat().st_mtime_ns for path in built.rglob("*.npy")}
    before = [row.labels["itp"] for rows in load(built).titles.values() for row in rows]
    build(SMALL.model_copy(update={"labels": {"itp": ITP.model_copy(update={"half": 40.0})}}), built)
    rows = [row for rows in load(built).titles.values() for row in rows]
    assert all(row.labels["itp"] > old for row, old in zip(rows, before, strict=True))
    assert all(row.labels.keys() == {"itp"} for row in rows)
    build(SMALL, built)
    assert [row.labels["itp"] for rows in load(built).titles.values() for row in rows] == before
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*.npy")} == pictures


TONED = LabelMap(of={"toned_delta_e": 1.0, "tone_excess": 150.0}, half=8.0, slope=1.2)


def test_labels_on_stored_pictures_are_measured_when_they_are_asked_for(built: Path) -> None:
    toned = SMALL.model_copy(update={"labels": {"colour": TONED}})
    build(toned, built)
    rows = [row for rows in load(built).titles.values() for row in rows]
    assert all(row.labels.keys() == {"colour"} and TONE_RAW.keys() <= row.raw.keys() for row in rows)
    assert [row.labels["colour"] for row in rows[:2]] == pytest.approx([1.0, 1.0], abs=1e-3)
    assert min(row.labels["colour"] for row in rows) < 0.9
    build(SMALL, built)


def test_a_set_that_is_labelled_anew_is_none_until_all_of_it_is(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(vqa_data, "_label_anew", stop)
        with pytest.raises(KeyboardInterrupt):
            build(SMALL.model_copy(update={"labels": {"colour": TONED}}), built)
    with pytest.raises(InputError, match="not a finished set"):
        load(built)
    build(SMALL, built)


def test_further_titles_are_for_training_alone_and_move_no_other() -> None:
    few = SMALL.model_copy(update={"drawn": 20, "scenes": 1})
    more = few.model_copy(update={"more_drawn": 30, "more_scenes": 2})
    own, all_of = ([(t.name, t.split) for t in vqa_data._titles(config, None)] for config in (few, more))
    assert all_of[: len(own)] == own
    further = all_of[len(own) :]
    assert {split for _, split in further} == {"train"}
    assert len(dict(all_of)) == len(all_of)


def test_a_folder_of_another_configuration_is_refused(built: Path) -> None:
    with pytest.raises(UsageError, match="another configuration"):
        build(SMALL.model_copy(update={"seed": 9}), built)


def test_photographs_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDR2HDR_DATA", raising=False)
    asked = SMALL.model_copy(update={"photo_shots": 1})
    for folder in (None, tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match="photo_shots: 0"):
            build(asked, tmp_path / "out", folder)
    with pytest.raises(UsageError, match="no title"):
        build(SMALL.model_copy(update={"drawn": 0}), tmp_path / "out")


def test_a_recipe_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no error is called guess"):
        VqaDataConfig(labels={"a": LabelMap(of={"guess": 1.0}, half=1.0, slope=1.0)})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("drawn: -1\nlabels: {}\n")
    with pytest.raises(UsageError, match="drawn"):
        build_from_yaml(recipe, tmp_path / "out")


# Splits and plans


def test_splits_are_by_picture_and_stay() -> None:
    names = [title.picture for title in drawn_titles(300, 7)]
    counts = Counter(split_of(name) for name in names)
    assert 0.6 < counts["train"] / 300 < 0.8
    assert 0.04 < counts["validation"] / 300 < 0.16
    few = {title.name: title.split for title in drawn_titles(20, 7)}
    assert few == {title.name: title.split for title in drawn_titles(300, 7)[:20]}


def test_every_split_has_photographs_and_panoramas_and_shares_none() -> None:
    titles = photo_titles(shared_data(), 3, 7)
    splits = {(title.origin, title.split) for title in titles}
    for origin in ("polyhaven", "openexr"):
        assert {(origin, split) for split in ("train", "validation", "test")} <= splits
    assert {("ultrahdr", "train"), ("ultrahdr", "test")} <= splits
    homes = {title.picture: {other.split for other in titles if other.picture == title.picture} for title in titles}
    assert all(len(found) == 1 for found in homes.values())


def test_titles_have_safe_names_of_their_own() -> None:
    names = [title.name for title in (*drawn_titles(50, 7), *scene_titles(3, 7))]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() and name.islower() for name in names)


def test_every_kind_in_every_strength_is_drawn_equally_often() -> None:
    drawn = [plan for order in range(75) for plan in plans(order, damages=5, renditions=2, seed=3)]
    cells = Counter((plan.damages[0], plan.strength) for plan in drawn if plan.damages)
    assert cells == dict.fromkeys(((kind, strength) for kind in DAMAGES for strength in STRENGTHS), 5)
    assert Counter(plan.kind for plan in drawn if plan.carrier == "model" and not plan.damages) == dict.fromkeys(
        MODELS, 25
    )
    two = sum(len(plan.damages) == 2 for plan in drawn) / 375
    assert 0.12 < two < 0.28


def test_what_only_hdr_can_suffer_is_done_to_hdr() -> None:
    drawn = [plan for order in range(75) for plan in plans(order, damages=5, renditions=2, seed=4)]
    expansions = [plan for plan in drawn if "over-expansion" in plan.damages]
    assert expansions
    assert {plan.carrier for plan in expansions} <= {"master", "model"}
    assert all((plan.model is None) == (plan.carrier in ("master", "direct203")) for plan in drawn)
    assert Plan("master").kind == "master"


# Damage and labels


@pytest.mark.parametrize("medium", [HDR, SDR], ids=["hdr", "sdr"])
def test_every_damage_shows_and_some_label_falls_with_its_strength(master: Clip, medium: Medium) -> None:
    signal = medium.signal(master)
    reference = Reference(medium.light(signal))
    kinds = [kind for kind, damage in DAMAGES.items() if medium == HDR or not damage.hdr_only]
    clips = [
        medium.light(damaged(signal, medium, kind, strength, np.random.default_rng(5)))
        for kind in kinds
        for strength in STRENGTHS
    ]
    errors = [reference.tone_errors(clip) for clip in clips]
    for error, more in zip(errors, reference.luma_errors([label_luma(clip) for clip in clips]), strict=True):
        error.update(more)
    qualities = [[how.quality(how.error(error) or 0.0) for how in (ITP, STRUCTURE)] for error in errors]
    for place, kind in enumerate(kinds):
        of_kind = np.array(qualities[3 * place : 3 * place + 3])
        falls = (np.diff(of_kind, axis=0) < 0).all(axis=0) & (of_kind[0] < 1)
        assert falls.any(), f"{kind}: {of_kind.tolist()}"
        assert all(np.isfinite(value) for error in errors[3 * place : 3 * place + 3] for value in error.values())


def test_the_master_itself_has_no_error(master: Clip) -> None:
    reference = Reference(master)
    errors = {**reference.tone_errors(master), **reference.luma_errors([label_luma(master)])[0]}
    assert errors == pytest.approx(dict.fromkeys(errors, 0.0), abs=1e-5)
    assert ITP.quality(0.0) == STRUCTURE.quality(0.0) == 1.0


def test_flicker_is_worse_than_the_same_error_held(master: Clip) -> None:
    reference = Reference(master)
    brighter = master * np.float32(1.1)
    flickering = master * np.where(np.arange(CLIP_FRAMES) % 2, 1.1, 0.9).astype(np.float32)[:, None, None, None]
    held, moving = reference.tone_errors(brighter), reference.tone_errors(flickering)
    assert held["unrest_itp"] < 0.3 < 5 < moving["unrest_itp"]
    assert ITP.quality(ITP.error(moving) or 0.0) < ITP.quality(ITP.error(held) or 0.0)


def test_a_label_needs_all_of_its_errors() -> None:
    assert ITP.error({"delta_e_itp": 3.0}) is None
    assert ITP.error({"delta_e_itp": 3.0, "unrest_itp": 2.0}) == 5.0
    some = LabelMap(of={"vmaf_error": 1.0}, half=30.0, slope=1.0, share=0.5)
    chosen = [some.wanted("x", f"title-{index}", "train") for index in range(400)]
    assert 150 < sum(chosen) < 250
    assert all(some.wanted("x", f"title-{index}", "test") for index in range(40))


def test_jod_sees_noise_in_the_key_picture_and_flicker_in_motion() -> None:
    if reason := available():
        pytest.skip(reason)
    rng = np.random.default_rng(0)
    scene = np.kron(rng.random((8, 14, 3), np.float32), np.ones((32, 32, 1), np.float32)) * 0.4 + 0.2
    small = scene[::4, ::4]
    small = np.pad(small, ((0, 72 - small.shape[0]), (0, 128 - small.shape[1]), (0, 0)), mode="edge")
    still = np.repeat(small[None], CLIP_FRAMES, axis=0)
    beat = np.where(np.arange(CLIP_FRAMES) % 2, 1.06, 0.94).astype(np.float32)[:, None, None, None]
    noisy = scene + 0.03 * rng.standard_normal(scene.shape, np.float32)
    key, motion = stored(np.stack([scene, noisy, scene])), stored(np.stack([still, still, still * beat]))
    master, grainy, flickering = jod_losses(key, motion)
    assert master == {"jod_loss_key": 0.0, "jod_loss_motion": 0.0}
    assert grainy["jod_loss_key"] > 0.3
    assert grainy["jod_loss_motion"] == flickering["jod_loss_key"] == 0.0
    assert flickering["jod_loss_motion"] > 1.0


# Media


def test_tables_are_the_transfers() -> None:
    nits = np.geomspace(0.01, 1000, 3000, dtype=np.float32).reshape(-1, 3)
    assert np.abs(HDR.signal(nits) - pq_eotf_inverse(nits)).max() < 0.1 / 1023
    signal = np.linspace(0.0, 0.75, 3000, dtype=np.float32).reshape(-1, 3)
    assert np.abs(pq_eotf_inverse(HDR.light(signal)) - signal).max() < 0.1 / 1023
    grey = np.linspace(0.02, 1.0, 500, dtype=np.float32)[:, None].repeat(3, axis=1)
    np.testing.assert_allclose(SDR.light(grey), 203 * grey**2.4, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(SDR.signal(SDR.light(grey)), grey, atol=0.1 / 255)
    assert float(HDR.light(pq_eotf_inverse(np.full((1, 3), 4000.0, np.float32)).astype(np.float32)).max()) == 1000.0
    assert float(pq_eotf(np.float32(0.75))) < 1000 < float(pq_eotf(np.float32(0.76)))
    assert float(bt1886_eotf_inverse(1.0)) == 1.0


def test_a_models_table_is_the_model() -> None:
    rng = np.random.default_rng(0)
    signal = rng.random((2, 30, 40, 3), np.float32)
    model = bind_guarded("spline", None, Controls(peak_nits=1000.0))
    exact = np.stack([expand_still(picture, model, BT709) for picture in signal])
    assert np.abs(expanded(signal, model) - exact).mean() < 1 / 1023


@pytest.mark.parametrize("medium", [HDR, SDR], ids=["hdr", "sdr"])
def test_encoders_keep_frames_and_lose_more_at_worse_rates(master: Clip, medium: Medium) -> None:
    signal = medium.signal(master)
    good, bad = (medium.coded(signal, crf) for crf in (10, 45))
    assert good.shape == bad.shape == signal.shape
    assert np.abs(good - signal).mean() < 0.02 < 2 * np.abs(bad - signal).mean()


def test_the_shipped_recipe_is_one() -> None:
    from importlib.resources import files

    import yaml

    config = VqaDataConfig.model_validate(yaml.safe_load((files("configs") / "training/vqa_data.yaml").read_text()))
    assert len(config.labels) >= 2
    assert json.loads(config.model_dump_json())["seed"] == config.seed
