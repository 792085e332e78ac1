"""The judging model in use: clips in, scores out, the same whatever stands beside them; bad input stays finite."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from analysis.vqa import bilivqa
from analysis.vqa.bilivqa import MODEL_NAME, SCORE_MEANING, JudgingModel, Scorer, clip_pictures, load_weights
from analysis.vqa.bilivqa_clips import ClipReader, open_clips
from analysis.vqa.display import motion_picture
from analysis.vqa.spec import Image
from tests.media import make_clip
from toolchain.errors import EnvironmentNotReady, InputError
from toolchain.models.networks.bilivqa import BilivqaNetwork

HDR10 = (
    "-vf",
    "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=limited",
)


@pytest.fixture(scope="module")
def model() -> JudgingModel:
    torch.manual_seed(5)
    return JudgingModel(BilivqaNetwork(2).eval(), ("one", "two"), "0" * 64)


def frames(count: int, seed: int = 0, size: tuple[int, int] = (270, 480)) -> list[Image]:
    rng = np.random.default_rng(seed)
    still = cv2.GaussianBlur(rng.random((*size, 3)).astype(np.float32), (0, 0), 4)
    return [200 * np.roll(still, 2 * index, axis=1) for index in range(count)]


def test_a_video_is_the_mean_of_its_clips_in_any_order(model: JudgingModel) -> None:
    forth, back = Scorer(model, "torch"), Scorer(model, "torch")
    found = [forth.add(0, clip, frames(32, clip)) for clip in range(3)]
    for clip in reversed(range(3)):
        back.add(0, clip, frames(32, clip))
    assert forth.result() == back.result()
    assert forth.result().score == pytest.approx(np.mean([clip.score for clip in found]))
    assert forth.result().clips == tuple(clip.score for clip in found)
    assert all(clip.score == pytest.approx((clip.heads["one"] + clip.heads["two"]) / 2) for clip in found)
    assert all(0 <= clip.score <= 100 for clip in found)


def test_threads_change_nothing(model: JudgingModel) -> None:
    threads = torch.get_num_threads()
    scores = []
    for count in (1, 2):
        torch.set_num_threads(count)
        scores.append(Scorer(model, "torch").add(0, 0, frames(32)).score)
    torch.set_num_threads(threads)
    assert scores[0] == scores[1]


def test_pictures_of_a_clip_are_those_of_the_display_model() -> None:
    given = frames(40)
    key, motion = clip_pictures(given)
    assert key.shape == (256, 448, 3)
    assert motion.shape == (32, 72, 128, 3)
    np.testing.assert_array_equal(motion[31], motion_picture(given[31]))


@pytest.mark.parametrize("count", [1, 5, 20])
def test_short_clips_hold_their_last_frame(model: JudgingModel, count: int) -> None:
    given = frames(count)
    _, motion = clip_pictures(given)
    np.testing.assert_array_equal(motion[count - 1], motion[31])
    held = given + given[-1:] * (32 - count)
    assert np.array_equal(clip_pictures(held)[1], motion)
    assert np.isfinite(Scorer(model, "torch").add(0, 0, given).score)


def test_no_frame_and_no_clip_are_refused(model: JudgingModel) -> None:
    scorer = Scorer(model, "torch")
    with pytest.raises(InputError, match="no frame to score"):
        scorer.add(0, 0, [])
    with pytest.raises(InputError, match="no clip to score"):
        scorer.result()


@pytest.mark.parametrize("value", [0.0, 203.0, 1e9, -5.0, np.nan, np.inf])
@pytest.mark.parametrize("size", [(16, 16), (270, 480)])
def test_flat_and_broken_pictures_have_finite_scores(
    model: JudgingModel, value: float, size: tuple[int, int]
) -> None:
    flat = np.full((*size, 3), value, np.float32)
    score = Scorer(model, "torch").add(0, 0, [flat] * 2)
    assert np.isfinite([score.score, *score.heads.values()]).all()


@pytest.mark.parametrize(("args", "size"), [((), "320x180"), (HDR10, "180x320"), ((), "16x16")])
def test_files_of_any_kind_are_scored(model: JudgingModel, args: tuple[str, ...], size: str, tmp_path: Path) -> None:
    pix_fmt, codec = ("yuv420p10le", "libx265") if args else ("yuv420p", "libx264")
    clip = make_clip(
        tmp_path / "a.mp4", size=size, duration_s=3, pix_fmt=pix_fmt, codec=codec, source="testsrc", extra_args=args
    )
    found = bilivqa.score_video(clip, scorer=Scorer(model, "torch"))
    assert len(found.clips) == 2  # 72 frames
    assert np.isfinite(found.score)
    reader = open_clips(clip)
    nits = next(reader.frames(0))
    assert (nits.max() > 1000) == bool(args)  # the white of a PQ signal is far above 203 nits


def test_clips_are_spread_without_overlap_and_start_where_they_say(tmp_path: Path) -> None:
    reader = open_clips(make_clip(tmp_path / "a.mkv", size="64x48", duration_s=5, rate=Fraction(24000, 1001)))
    assert reader.frame_count == 120
    assert reader.starts() == [14, 44, 73]
    whole = list(_all_frames(reader))
    for start in reader.starts():
        np.testing.assert_array_equal(next(reader.frames(start)), whole[start])


def _all_frames(reader: ClipReader):  # type: ignore[no-untyped-def]
    from analysis.vqa.spec import source_nits
    from toolchain.video.decode import decode_frames
    from toolchain.video.picture import rgb_signal

    for frame in decode_frames(reader.path, reader.video):
        yield source_nits(rgb_signal(frame, reader.video.color), reader.video.color)


def test_one_frame_is_enough_and_no_video_is_refused(model: JudgingModel, tmp_path: Path) -> None:
    still = make_clip(tmp_path / "still.mp4", size="64x48", duration_s=0.04, rate=25)
    assert len(bilivqa.score_video(still, scorer=Scorer(model, "torch")).clips) == 1
    (tmp_path / "no.mp4").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError):
        bilivqa.score_video(tmp_path / "no.mp4", scorer=Scorer(model, "torch"))


def test_light_that_is_not_for_a_display_is_refused(tmp_path: Path) -> None:
    log = ("-vf", "setparams=color_trc=log100")
    clip = make_clip(tmp_path / "log.mkv", size="64x48", duration_s=0.2, extra_args=log)
    with pytest.raises(InputError, match="cannot be shown as light"):
        open_clips(clip)


def test_weights_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    network = BilivqaNetwork(1)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    good, headless, short = (tmp_path / name for name in ("good", "headless", "short"))
    save_file(state, good, metadata={"heads": '["mos"]'})
    save_file(state, headless)
    save_file(dict(list(state.items())[1:]), short, metadata={"heads": '["mos"]'})
    (tmp_path / "broken").write_bytes(good.read_bytes()[:1000])
    assert load_weights(good).heads == ("mos",)
    for wrong in (headless, short, tmp_path / "broken", tmp_path / "absent"):
        with pytest.raises(EnvironmentNotReady, match="holds no weights of bilivqa"):
            load_weights(wrong)


def test_hashes_say_which_rendering_a_score_is_of(model: JudgingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bilivqa.preprocessing_hash()
    assert len(before) == 64
    monkeypatch.setattr(bilivqa, "KEY_FRAME", 3)
    assert bilivqa.preprocessing_hash() != before
    assert bilivqa.model_hash(model) == "0" * 64


def test_it_is_named_a_ranking_and_no_opinion_score() -> None:
    assert "distortion-ranking" in MODEL_NAME
    assert "not a mean opinion score" in SCORE_MEANING
