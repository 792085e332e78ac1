from pathlib import Path

import av

from tests.media import make_clip


def test_make_clip_gives_what_was_asked_for(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "a.mkv",
        rate=30,
        pix_fmt="yuv422p10le",
        audio=True,
        extra_args=("-vf", "setparams=color_trc=bt709"),
    )
    with av.open(str(clip)) as container:
        context = container.streams.video[0].codec_context
        assert (context.width, context.height, context.pix_fmt, context.color_trc) == (160, 90, "yuv422p10le", 1)
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_make_clip_repeats_itself_and_takes_source_options(tmp_path: Path) -> None:
    first, again = (make_clip(tmp_path / name, source="color=c=white", duration_s=0.2) for name in ("a.mp4", "b.mp4"))
    assert first.read_bytes() == again.read_bytes()
    with av.open(str(first)) as container:
        assert next(container.decode(video=0)).to_ndarray()[0, 0] == 235
