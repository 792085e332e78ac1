"""What reaches the terminal: harmless lines, and rates that are true."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.render import PlainLines, printable
from toolchain.events import Progress


@given(st.text())
def test_printable_text_is_one_harmless_line_and_plain_text_stays(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in shown)
    assert len(shown.splitlines()) <= 1
    assert not {"\u202a", "\u202b", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068"} & set(shown)
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["Füße 映画 فيلم 👩\u200d🚀 a\u00a0b", r"back\slash"])
def test_printable_leaves_all_languages_alone(text: str) -> None:
    assert printable(text) == text


def test_progress_outside_a_step_has_a_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`agent verify` scans without a step: 60 frames of 120 in 10 s are 6 a second."""
    now_s = 5000.0
    monkeypatch.setattr("agent.cli.render.time.monotonic", lambda: now_s)
    lines = PlainLines()
    now_s += 10
    lines(Progress(step="scan", done=60, total=120))
    assert capsys.readouterr().err == "  60 of 120 frames, 6.0 fps, 10 s left\n"
