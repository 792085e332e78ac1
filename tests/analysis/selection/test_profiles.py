"""Each profile file against its class."""

from __future__ import annotations

from typing import get_args

import pytest

from analysis.selection.profile import Codec, load_profile, profile_names
from toolchain.errors import UsageError
from toolchain.models.registry import model_ids


def test_the_profiles_are_there():
    assert profile_names() == ("balanced", "best", "broadcast", "fast")


@pytest.mark.parametrize("name", profile_names())
def test_profile_is_complete(name):
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.encoders) == set(get_args(Codec))
    assert all(profile.encoders[codec].crf is not None for codec in ("hevc", "av1"))
    assert (profile.peak_nits, profile.mid_gain_ev) == (1000.0, 0.93 if name == "broadcast" else 0.0)
    assert set(profile.prefer) <= set(model_ids("sdr2hdr"))


def test_profiles_go_from_quick_to_thorough():
    fast, balanced, best = (load_profile(name) for name in ("fast", "balanced", "best"))
    for measure in (
        lambda p: p.shortlist_size,
        lambda p: p.max_pilot_frames,
        lambda p: p.verify.windows * p.verify.frames_per_window,
        lambda p: -(p.encoders["hevc"].crf or 0),
        lambda p: -(p.encoders["av1"].crf or 0),
    ):
        assert measure(fast) < measure(balanced) < measure(best)


@pytest.mark.parametrize("name", ["turbo", "", "../fast", "fast.yaml"])
def test_unknown_profile_names_the_allowed(name):
    with pytest.raises(UsageError, match="balanced, best, broadcast, fast"):
        load_profile(name)
