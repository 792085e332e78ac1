"""Key frames as an analyser sees them: the right ones, at their own size, upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.native_frames import choose_key_frames, native_frames
from agent.tasks.messages import ProbeRequest, ScanRequest
from agent.tasks.probe import probe
from agent.tasks.scan import scan
from agent.workspace import Workspace
from toolchain.errors import InputError
from toolchain.events import ignore
from toolchain.video.decode import decode_frames
from toolchain.video.facts import MediaFacts, VideoFacts
from toolchain.video.picture import load_signal, rgb_signal


def test_key_frames_are_chosen_all_then_one_a_shot_then_spread() -> None:
    stored = [(i, 10 * i + k) for i in range(6) for k in (1, 5, 8)]
    assert choose_key_frames(stored, 18) == stored
    assert choose_key_frames(stored, 17) == [(i, 10 * i + 5) for i in range(6)]
    assert choose_key_frames(stored, 3) == [(0, 5), (2, 25), (5, 55)]
    assert choose_key_frames(stored, 1) == [(0, 5)]


def scanned(clip: Path, folder: Path) -> tuple[MediaFacts, VideoFacts, Workspace]:
    facts = probe(ProbeRequest(path=clip), ignore)
    scan(ScanRequest(path=clip, facts=facts, work=folder, key_frames_per_shot=2, max_key_frames=36), ignore)
    assert facts.video is not None
    return facts, facts.video, Workspace(folder)


def test_frames_are_those_of_the_scan_at_full_size(sample_clip: Path, tmp_path: Path) -> None:
    _, video, workspace = scanned(sample_clip, tmp_path)
    stored = {(shot, number): path for shot, number, path in workspace.key_frame_files()}
    read = list(native_frames(sample_clip, video, workspace, list(stored)))
    assert [(frame.shot, frame.number) for frame in read] == list(stored)
    assert len(read) >= 3
    for frame in read:  # the clip is smaller than the working size, so both are the same picture
        assert np.abs(frame.rgb / 255 - np.minimum(load_signal(stored[frame.shot, frame.number]), 1)).max() < 0.003


def test_frames_stand_upright(sample_clip: Path, tmp_path: Path) -> None:
    _, video, workspace = scanned(sample_clip, tmp_path)
    turned = video.model_copy(update={"rotation_deg": 90})
    plain, upright = (next(native_frames(sample_clip, v, workspace, [(0, 3)])).rgb for v in (video, turned))
    assert upright.shape == (320, 180, 3)
    assert (np.rot90(plain, -1) == upright).all()
    third = next(frame for i, frame in enumerate(decode_frames(sample_clip, video)) if i == 3)
    assert (plain == np.rint(np.minimum(rgb_signal(third, video.color), 1) * 255)).all()


def test_a_file_that_changed_since_the_scan_is_named(sample_clip: Path, tmp_path: Path) -> None:
    _, video, workspace = scanned(sample_clip, tmp_path)
    workspace.save_scan(workspace.load_scan(), workspace.load_pts() + 1)
    with pytest.raises(InputError, match="changed since"):
        list(native_frames(sample_clip, video, workspace, [(0, 3)]))
