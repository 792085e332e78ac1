"""`agent analyze` with each engine: who answered is told, and what happens when nobody does is as configured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.cli.main import main
from agent.store import RunStore
from agent.tasks.analyse import analyse
from agent.tasks.messages import AnalyseRequest, ProbeRequest, ScanRequest
from agent.tasks.probe import probe
from agent.tasks.scan import scan
from agent.workspace import Workspace
from analysis.mllm.settings import AnalyserSettings
from analysis.schema import Analysis, DecisionRecord
from tests.agent.mllm_server import FakeMllm, serving
from toolchain.errors import EnvironmentNotReady
from toolchain.events import Event, ignore

NOWHERE = "http://127.0.0.1:9/v1"
KINDS = ("noise", "motion_blur")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))


@pytest.fixture
def request_of(sample_clip: Path, tmp_path: Path) -> Any:
    """A function from settings to the request of a run that has been scanned."""
    work = tmp_path / "work"
    work.mkdir()
    facts = probe(ProbeRequest(path=sample_clip), ignore)
    scan(ScanRequest(path=sample_clip, facts=facts, work=work, key_frames_per_shot=2, max_key_frames=36), ignore)
    return lambda settings: AnalyseRequest(path=sample_clip, facts=facts, work=work, analyser=settings)


def test_the_chosen_engine_makes_the_report_and_its_boxes_stay_with_their_frames(request_of: Any) -> None:
    events: list[Event] = []
    with serving(FakeMllm()) as fake:
        result = analyse(request_of(AnalyserSettings(engine="vllm", url=fake.url)), events.append)
    workspace = Workspace(request_of(AnalyserSettings()).work)
    findings, analysis = workspace.load_findings(), workspace.load_analysis()
    assert findings is not None
    keys = [(shot, number) for shot, number, _ in workspace.key_frame_files()]
    assert [(item.shot, item.frame) for item in findings.frames] == keys
    assert all(item.report.distortions[1].bbox_1000 == (100, 200, 400, 600) for item in findings.frames)
    assert len(fake.requests) == len(keys) == len(events) == result.analysed.frames
    assert (result.analysed.engine, result.analysed.fell_back) == ("vllm:compact", "")
    assert len(result.analysed.prompt_hash) == 16
    assert set(KINDS) <= {item.type for item in analysis.pooled.distortions}
    assert len(analysis.shots) == 3


def test_of_too_many_key_frames_some_are_looked_at_and_every_shot_has_a_report(request_of: Any) -> None:
    with serving(FakeMllm()) as fake:
        result = analyse(request_of(AnalyserSettings(engine="vllm", url=fake.url, max_frames=2)), ignore)
    shots = Workspace(request_of(AnalyserSettings()).work).load_analysis().shots
    assert (len(fake.requests), result.analysed.frames, len(shots)) == (2, 2, 3)
    looked_at = [KINDS[1] in {item.type for item in shot.report.distortions} for shot in shots]
    assert looked_at == [True, False, True]


@pytest.mark.parametrize("answer", ["I see a cat.", "dr9 ct2 ; clean ; qa"])
def test_an_engine_that_talks_nonsense_falls_back_and_the_reason_is_kept(request_of: Any, answer: str) -> None:
    with serving(FakeMllm(answer)) as fake:
        settings = AnalyserSettings(engine="vllm", url=fake.url)
        result = analyse(request_of(settings), ignore)
        with pytest.raises(EnvironmentNotReady, match="never validly"):
            analyse(request_of(settings.model_copy(update={"fallback": "none"})), ignore)
    assert (result.analysed.engine, result.analysed.analyser) == ("signals", "rules-1")
    assert "answered twice about frame" in result.analysed.fell_back
    assert Workspace(request_of(settings).work).load_findings() is None


def test_analyze_says_which_engine_answered_and_draws_what_it_saw(
    sample_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "out.png"
    with serving(FakeMllm()) as fake:
        asked = ["--engine", "vllm", "--engine-url", fake.url]
        assert main(["analyze", str(sample_clip), *asked, "--json", "--image", str(image)]) == 0
    captured = capsys.readouterr()
    analysis = Analysis.model_validate_json(captured.out)
    assert analysis.analyser.endswith("vllm:compact")
    assert "warning" not in captured.err
    sheet = cv2.imread(str(image))
    assert sheet is not None
    assert np.any(np.all(sheet[..., ::-1] == (255, 150, 40), axis=-1))  # the moderate noise
    assert main(["analyze", str(sample_clip), "--image", str(image)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_without_its_engine_analyze_measures_warns_and_is_recorded_or_fails_as_asked(
    sample_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["analyze", str(sample_clip), "--engine", "vllm", "--engine-url", NOWHERE]
    assert main([*asked, "--json"]) == 0
    captured = capsys.readouterr()
    assert Analysis.model_validate_json(captured.out).analyser == "rules-1"
    assert "warning: the engine vllm gave no report: no answer from" in captured.err
    runs, _ = RunStore().runs()
    outcome = json.loads((runs[0].folder / "outcome.json").read_text())
    assert outcome["analyser"]["engine"] == "signals"
    assert "no answer from" in outcome["analyser"]["fell_back"]
    assert main([*asked, "--fallback", "none"]) == 5
    assert "no answer from" in capsys.readouterr().err


def test_the_picture_works_without_a_model(sample_clip: Path, tmp_path: Path) -> None:
    assert main(["analyze", str(sample_clip), "--image", str(tmp_path / "out.jpg")]) == 0
    assert cv2.imread(str(tmp_path / "out.jpg")) is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "magic"], "magic"),
        (["--engine", "vllm", "--engine-url", "ftp://x"], "url"),
        (["--image", "out.gif"], ".png"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_work(
    arguments: list[str], words: str, sample_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(sample_clip), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert RunStore().runs() == ([], [])


def test_serve_mllm_prints_one_line_and_needs_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve-mllm", "--model", "Qwen/Qwen2.5-VL-7B-Instruct", "--port", "8001", "--print"]) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith("vllm serve Qwen/Qwen2.5-VL-7B-Instruct ")
    assert "--port 8001" in line
    assert main(["serve-mllm", "--model", "a-stranger", "--print"]) == 2
    assert "family" in capsys.readouterr().err
    assert main(["serve-mllm", "--model", "a-stranger", "--family", "internvl", "--print", "--", "--seed", "3"]) == 0
    assert capsys.readouterr().out.strip().endswith("--seed 3")


def test_a_jobs_manifest_and_decision_say_who_analysed_and_why(sample_clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    command = ["process", str(sample_clip), "-o", str(output), "--profile", "fast", "--model", "direct203"]
    asked = ["--engine", "vllm", "--engine-url", NOWHERE, "--family", "qwen3_vl", "--fallback", "signals"]
    assert main([*command, *asked]) == 0
    manifest = json.loads((tmp_path / "out.mp4.manifest.json").read_text())
    assert (manifest["analyser"]["engine"], manifest["analyser"]["analyser"]) == ("signals", "rules-1")
    assert "no answer from" in manifest["analyser"]["fell_back"]
    assert any("no answer from" in warning for warning in manifest["warnings"])
    assert manifest["replay"][-8:] == asked
    decision = DecisionRecord.model_validate_json(RunStore().decisions.read_text())
    assert (decision.analyser, decision.prompt_hash) == ("rules-1", "")
    assert decision.analyser_fell_back == manifest["analyser"]["fell_back"]


def test_a_job_plans_by_what_the_model_saw(sample_clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = "dr3 ct2 ; blocks severe global ; key 0 ; qc"
    plans = []
    with serving(FakeMllm(blocks)) as fake:
        for engine in (["--engine", "signals"], ["--engine", "vllm", "--engine-url", fake.url]):
            assert main(["plan", str(sample_clip), *engine]) == 0
            plans.append(capsys.readouterr().out)
    assert plans[0] != plans[1]
