import numpy as np
import pytest

from tests.shared_data import shared_data
from toolchain.errors import InputError
from training.data.masters import MasterGrade, crop_view, grade_master, perspective_view, read_exr, read_radiance


def test_forward_view_of_a_panorama_shows_its_middle() -> None:
    rows, columns = 180, 360
    panorama = np.zeros((rows, columns, 3), np.float32)
    panorama[..., 0] = (np.arange(columns) + 0.5)[None, :]
    panorama[..., 1] = (np.arange(rows) + 0.5)[:, None]
    middle = perspective_view(panorama, 0.0, 0.0, 65, 33)[16, 32]
    assert np.allclose(middle[:2], (180.0, 90.0), atol=0.02)
    turned = perspective_view(panorama, 30.0, 20.0, 65, 33)[16, 32]
    assert np.allclose(turned[:2], (210.0, 70.0), atol=0.05)


def test_field_of_view_reaches_its_edges() -> None:
    panorama = np.broadcast_to((np.arange(360, dtype=np.float32) + 0.5)[None, :, None], (180, 360, 3)).copy()
    row = perspective_view(panorama, 0.0, 0.0, 201, 101, field_of_view_deg=90.0)[50, :, 0]
    assert row[0] == pytest.approx(180.0 - 45.0, abs=0.5)
    assert row[-1] == pytest.approx(180.0 + 45.0, abs=0.5)


def test_crop_of_everything_is_the_area_mean() -> None:
    picture = np.random.default_rng(0).random((90, 160, 3)).astype(np.float32)
    assert np.allclose(crop_view(picture, (0.3, 0.9), 1.0, 16, 9).mean((0, 1)), picture.mean((0, 1)), atol=1e-4)


def test_graded_master_meets_its_key_and_its_peak() -> None:
    scene = np.exp(np.random.default_rng(1).normal(0.0, 2.0, (90, 160, 1))).astype(np.float32).repeat(3, axis=2)
    nits = grade_master(scene, MasterGrade(key_nits=20.0, contrast=1.0, peak_nits=800.0))
    assert nits.max() <= 800.0
    assert nits.max() > 700.0
    assert np.exp(np.log(np.clip(nits, *np.percentile(nits, (5, 95)))).mean()) == pytest.approx(20.0, rel=0.05)
    assert np.allclose(grade_master(7.0 * scene, MasterGrade(key_nits=20.0, contrast=1.0, peak_nits=800.0)), nits)


def test_contrast_turns_about_the_key() -> None:
    scene = np.geomspace(0.05, 5.0, 400, dtype=np.float32)[None, :, None].repeat(3, axis=2)
    low, high = (grade_master(scene, MasterGrade(contrast=c, peak_nits=2000.0))[0, :, 1] for c in (1.0, 1.2))
    assert high[0] < low[0]
    assert high[-1] > low[-1]


def test_unreadable_pictures_are_refused(tmp_path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"#?RADIANCE\nnothing")
    with pytest.raises(InputError):
        read_radiance(path)
    pytest.importorskip("OpenEXR", reason="OpenEXR is in the extras train and dev")
    with pytest.raises(InputError):
        read_exr(path)


def _write_exr(path, channels: dict[str, np.ndarray], **header) -> None:
    openexr = pytest.importorskip("OpenEXR", reason="OpenEXR is in the extras train and dev")
    attributes = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage, **header}
    openexr.File(attributes, channels).write(str(path))


def test_exr_white_stays_white_whatever_its_primaries(tmp_path) -> None:
    grey = np.full((8, 8), 0.5, np.float32)
    aces = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    for name, header in (("plain.exr", {}), ("aces.exr", {"chromaticities": aces})):
        _write_exr(tmp_path / name, dict.fromkeys("RGB", grey), **header)
        assert np.allclose(read_exr(tmp_path / name), 0.5, atol=2e-3)


def test_exr_without_colour_is_refused(tmp_path) -> None:
    _write_exr(tmp_path / "depth.exr", {"Z": np.zeros((8, 8), np.float32)})
    with pytest.raises(InputError, match="channels Z"):
        read_exr(tmp_path / "depth.exr")


@pytest.mark.parametrize("name", ["Flowers", "Garden", "CrissyField", "Carrots"])
def test_every_kind_of_exr_photograph_is_read(name: str) -> None:
    pytest.importorskip("OpenEXR", reason="OpenEXR is in the extras train and dev")
    picture = read_exr(shared_data("hdr", "openexr", f"{name}.exr"))
    assert picture.dtype == np.float32
    assert picture.min() >= 0.0
    assert np.isfinite(picture).all()
    colourful = np.median(np.ptp(picture, axis=2) / (picture.max(axis=2) + 1e-6))
    assert (colourful < 1e-3) == (name == "Garden")


def test_flowers_are_blue() -> None:
    pytest.importorskip("OpenEXR", reason="OpenEXR is in the extras train and dev")
    red, green, blue = read_exr(shared_data("hdr", "openexr", "Flowers.exr")).mean((0, 1))
    assert blue > red > green
