import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.shared_data import shared_data
from toolchain.color.transfer import bt1886_eotf
from toolchain.errors import InputError, UsageError
from training.data.compress import Compression, compress
from training.data.grading import CURVES, UNSEEN_CURVES, GradeRecipe, grade
from training.data.itm_grades import (
    SEEN_CURVES,
    Grade,
    anchor_master,
    broadcast_grade,
    compensate,
    make_pairs,
    mid_gain_ev,
    sample_recipe,
    storable,
)
from training.data.itm_pairs import ItmDataConfig, build, build_from_yaml, load
from training.data.itm_shards import read_shard
from training.data.local_tone import PhoneLook, guided_smooth, phone_compress, windows_gain

SMALL = ItmDataConfig(titles=3, masters=False, width=64, height=36, seed=2)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("itm")
    build(SMALL, folder)
    return folder


def ramp(peak: float = 1000.0) -> np.ndarray:
    return np.geomspace(0.5, peak, 64 * 36, dtype=np.float32).reshape(36, 64, 1).repeat(3, axis=2)


def test_shards_hold_what_the_manifest_says(built: Path) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    shards = list(load(built))
    assert sorted(shard.title for shard in shards) == sorted(manifest["titles"])
    assert manifest["counts"]["pairs"] == sum(len(shard.meta) for shard in shards)
    for shard in shards:
        assert shard.sdr.dtype == np.uint8
        assert shard.hdr.dtype == np.float16
        assert shard.sdr.shape == shard.hdr.shape == (len(shard.meta), 36, 64, 3)
        assert np.isfinite(shard.hdr).all()
        assert shard.hdr.min() >= 0.0
        assert {pair["title"] for pair in shard.meta} == {shard.title}
        assert all(pair["unseen"] == (pair["family"] in UNSEEN_CURVES) for pair in shard.meta)
        assert len({pair["family"] for pair in shard.meta}) >= 7


def test_anchored_pairs_share_mid_tones_and_broadcast_pairs_are_brighter(built: Path) -> None:
    pairs = [pair for shard in load(built) for pair in shard.meta]
    assert max(abs(pair["mid_gain_ev"]) for pair in pairs if pair["profile"] == "anchored") < 0.01
    broadcast = [pair["mid_gain_ev"] for pair in pairs if pair["profile"] == "broadcast"]
    assert 0.3 < np.median(broadcast) < 1.6


def test_same_configuration_same_bytes(built: Path, tmp_path: Path) -> None:
    build(SMALL, tmp_path)
    for path in built.glob("*/*.npz"):
        assert path.read_bytes() == (tmp_path / path.relative_to(built)).read_bytes()


def test_a_stopped_build_resumes_and_reports(built: Path, tmp_path: Path) -> None:
    build(SMALL, tmp_path)
    paths = sorted(tmp_path.glob("*/*.npz"))
    kept, lost = paths[0], paths[1]
    before = kept.stat().st_mtime_ns
    lost.unlink()
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputError, match="not a finished set"):
        next(load(tmp_path))
    seen: list[tuple[int, int, str]] = []
    build(SMALL, tmp_path, lambda *step: seen.append(step))
    assert [step[:2] for step in seen] == [(1, 3), (2, 3), (3, 3)]
    assert kept.stat().st_mtime_ns == before
    assert lost.exists()


def test_another_configuration_is_refused_in_the_same_folder(built: Path) -> None:
    with pytest.raises(UsageError, match="another configuration"):
        build(SMALL.model_copy(update={"seed": 9}), built)


def test_load_chooses_splits_and_pairs(built: Path) -> None:
    split = next(load(built)).split
    assert {shard.split for shard in load(built, [split])} == {split}
    assert list(load(built, ["masters"])) == []
    unseen = [pair for shard in load(built, keep=lambda pair: pair["unseen"]) for pair in shard.meta]
    assert unseen
    assert all(pair["unseen"] for pair in unseen)


def test_broken_shards_and_manifests_are_refused(built: Path, tmp_path: Path) -> None:
    whole = next(built.glob("*/*.npz")).read_bytes()
    path = tmp_path / "title.npz"
    for data in (b"", whole[: len(whole) // 2], b"PK\3\4" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(InputError):
            read_shard(path, "fold0")
    pickled = np.array([{"a": 1}], dtype=object)
    np.savez(path, sdr=pickled, hdr=pickled, meta=np.array("[]"))
    with pytest.raises(InputError):
        read_shard(path, "fold0")
    (tmp_path / "manifest.json").write_text(json.dumps({"titles": {"../../etc/passwd": {"split": "fold0"}}}))
    with pytest.raises(InputError, match="names the title"):
        next(load(tmp_path))


@pytest.mark.parametrize("curve", CURVES)
def test_anchoring_brings_any_grade_back_to_the_mid_tones(curve: str) -> None:
    master = ramp()
    signal = grade(master, GradeRecipe(curve))  # type: ignore[arg-type]
    anchored = anchor_master(signal, master)
    assert mid_gain_ev(signal, anchored) == pytest.approx(0.0, abs=1e-3)
    level = 203.0 * bt1886_eotf(0.45)
    shown = 203.0 * bt1886_eotf(signal[..., 1])
    at = np.abs(shown - level).argmin()
    assert anchored.reshape(-1, 3)[at, 1] == pytest.approx(level, rel=0.35)


def test_mid_gain_is_exact_for_a_plain_gain_and_zero_for_black() -> None:
    signal = grade(ramp(200.0), GradeRecipe("clip"))
    assert mid_gain_ev(signal, 2.0 * ramp(200.0)) == pytest.approx(1.0, abs=1e-4)
    assert mid_gain_ev(np.zeros((4, 4, 3), np.float32), np.ones((4, 4, 3), np.float32)) == 0.0


def test_compensation_keeps_a_darkening_curves_mid_tones() -> None:
    master, recipe = ramp(), GradeRecipe("filmic")
    plain, raised = (mid_gain_ev(grade(master, r), master) for r in (recipe, compensate(recipe, master, 1.0)))
    assert plain > 0.3
    assert abs(raised) < 0.12


def test_recipes_of_every_curve_are_usable() -> None:
    rng = np.random.default_rng(0)
    for curve in CURVES:
        for _ in range(20):
            recipe = sample_recipe(rng, curve, float(rng.uniform(50.0, 2000.0)))
            assert -0.5 <= recipe.exposure_ev <= 0.5
    assert not set(SEEN_CURVES) & set(UNSEEN_CURVES)
    assert len(UNSEEN_CURVES) >= 3


def test_broadcast_leaves_the_master_alone() -> None:
    pairs = make_pairs(ramp()[None], broadcast_grade(np.random.default_rng(0), 1000.0))
    assert np.allclose(pairs.hdr[0].astype(np.float32), ramp(), rtol=3e-3)
    assert pairs.anchor_ev == [0.0]


@pytest.mark.parametrize("local", ["phone", "windows"])
def test_local_work_leaves_no_curve_between_sdr_and_hdr(local: str) -> None:
    # A picture lit from one side: from 8 nits on the left to 400 on the right, with fine texture everywhere.
    texture = np.random.default_rng(3).normal(0.0, 0.5, (81, 144, 1))
    light = np.geomspace(8.0, 400.0, 144)[None, :, None] * np.exp(texture)
    master = np.minimum(light, 1000.0).astype(np.float32).repeat(3, axis=2)[None]
    plain, graded = (make_pairs(master, Grade(GradeRecipe(), mode, 5)) for mode in ("none", local))  # type: ignore[arg-type]

    def spread(pairs) -> float:
        """Spread in stops of the HDR light within one SDR code, over the codes of the middle of the picture."""
        codes, hdr = pairs.sdr[0, ..., 1], np.log2(pairs.hdr[0, ..., 1].astype(np.float32))
        low, high = np.percentile(codes, (40, 80)).astype(int)
        return float(np.mean([hdr[codes == code].std() for code in range(low, high) if (codes == code).sum() > 20]))

    assert spread(plain) < 0.05
    assert spread(graded) > 3.0 * spread(plain)


def test_phone_compression_keeps_mid_tones_and_pulls_highlights_down() -> None:
    flat = np.full((60, 80, 3), 25.0, np.float32)
    assert np.allclose(phone_compress(flat, PhoneLook(knee_nits=60.0)), flat, rtol=0.08)
    bright = np.full((60, 80, 3), 800.0, np.float32)
    assert phone_compress(bright, PhoneLook(strength=0.8)).max() < 200.0


def test_windows_are_smooth_and_bounded() -> None:
    gain = windows_gain(np.random.default_rng(1), ramp(), 0.8)
    assert gain.min() >= 2.0**-0.8
    assert gain.max() <= 2.0**1.6


def test_guided_smoothing_keeps_large_edges_and_removes_small_ones() -> None:
    step = np.zeros((40, 40), np.float32)
    step[:, 20:] = 8.0
    noisy = step + 0.2 * np.random.default_rng(0).standard_normal(step.shape).astype(np.float32)
    smooth = guided_smooth(noisy, noisy, 4, 1.0)
    assert smooth[20, 21] - smooth[20, 18] > 6.5
    assert smooth[5:35, 2:14].std() < 0.1


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_compression_is_real_and_grows_with_the_rate_factor(codec: str) -> None:
    rng = np.random.default_rng(0)
    base = rng.random((18, 32, 3)).repeat(4, axis=0).repeat(4, axis=1)
    signals = np.clip(0.6 * base + 0.2 + 0.05 * rng.standard_normal((2, 72, 128, 3)), 0, 1).astype(np.float32)
    errors = [np.abs(compress(signals, Compression(codec, crf)) - signals).mean() for crf in (8, 40)]  # type: ignore[arg-type]
    assert 0.0 < errors[0] < errors[1] < 0.15


def test_grey_stays_grey_through_the_codec() -> None:
    signals = np.full((1, 32, 32, 3), 0.5, np.float32)
    assert np.allclose(compress(signals, Compression("h264", 18)), 0.5, atol=0.006)


def test_compression_that_means_nothing_is_refused() -> None:
    with pytest.raises(UsageError):
        Compression("h264", 99)


def test_stored_light_is_within_a_fifth_of_a_percent() -> None:
    nits = np.geomspace(0.01, 10000.0, 1000)
    assert np.allclose(storable(nits).astype(np.float64), nits, rtol=2.5e-3)
    assert storable(np.array([2e4, -1.0])).tolist() == [10000.0, 0.0]


def test_shipped_configuration_is_valid_and_wrong_ones_say_why(tmp_path: Path) -> None:
    text = files("configs").joinpath("training/itm_data.yaml").read_text()
    assert ItmDataConfig.model_validate(yaml.safe_load(text)).titles == 300
    path = tmp_path / "c.yaml"
    for wrong in ("titels: 3", "spatial_share: 2", "panorama_views: 0", "{", "masters: true\ntitles: 0"):
        path.write_text(wrong)
        with pytest.raises(UsageError):
            build_from_yaml(path, tmp_path / "out", tmp_path / "nowhere")


def test_real_masters_and_photographs_become_pairs(tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR", reason="OpenEXR is in the extras train and dev")
    data = tmp_path / "data"
    for parts in (
        ("hdr", "polyhaven", "venice_sunset_1k.hdr"),
        ("hdr", "openexr", "Cannon.exr"),
        ("pairs", "ultrahdr", "02.jpg"),
    ):
        path = data.joinpath(*parts)
        path.parent.mkdir(parents=True)
        path.symlink_to(shared_data(*parts))
    config = ItmDataConfig(
        titles=0, width=64, height=36, panorama_views=1, photograph_views=1, gain_map_views=2, gain_map_crops=2
    )
    manifest = build(config, tmp_path / "out", None, data)
    assert set(manifest["titles"]) == {"venice-sunset", "cannon", "photo-02"}
    assert "CC BY 4.0" in manifest["credits"]["ultrahdr"]
    masters = list(load(tmp_path / "out", ["masters"]))
    assert {pair["family"] for shard in masters for pair in shard.meta} == set(CURVES)
    photo = next(load(tmp_path / "out", ["photos"]))
    assert photo.meta[0]["profile"] == "native"
    assert photo.meta[0]["spatial"]
    assert photo.hdr.max() > 300.0
    crops = read_shard(tmp_path / "out" / "crops" / "photo-02.npz", "crops")
    assert crops.sdr.shape == (2, 36, 64, 3)
    for sdr, hdr in zip(crops.sdr, crops.hdr, strict=True):
        assert abs(mid_gain_ev(sdr.astype(np.float32) / 255, hdr.astype(np.float32))) < 0.02
