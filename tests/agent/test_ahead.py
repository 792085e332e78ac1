"""agent.ahead: what was begun early is handed out once, live, and errors come where the answer is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel

from agent.ahead import LookAhead
from agent.requests import probe_request, scan_request
from agent.state import JobSpec
from agent.tasks.messages import Analysed, AnalyseRequest, AnalyseResult, ScanSummary
from agent.worker import Worker
from analysis.selection.profile import load_profile
from toolchain.errors import InputError
from toolchain.events import Emit, Event, Progress, ignore
from toolchain.video.facts import MediaFacts

FACTS = MediaFacts(path=Path("in.mp4"), size_bytes=1, format_name="mov", duration_s=1.0, streams=(), video=None)
JOB = JobSpec(input=Path("in.mp4"), output=Path("out.mp4"))
PROFILE = load_profile("fast")
WORK = Path("work")
RULES = Analysed(engine="signals", analyser="rules-1")


class FakeWorker:
    """Answers from functions and notes what was asked."""

    def __init__(self, **answers: Callable[[Emit], BaseModel]):
        self.asked: list[str] = []
        self._answers = answers

    def call(self, task: str, request: BaseModel, result: type[BaseModel], emit: Emit) -> Any:
        self.asked.append(task)
        return self._answers[task](emit)


def looking(worker: FakeWorker) -> LookAhead:
    return LookAhead(cast(Worker, worker), JOB, PROFILE, WORK)


def test_each_answer_is_worked_out_once_and_events_come_before_the_end() -> None:
    halfway = threading.Event()

    def scan(emit: Emit) -> ScanSummary:
        emit(Progress(step="scan", done=1))
        assert halfway.wait(10), "the event was held back until the scan had ended"
        return ScanSummary(shot_count=1, frame_count=2)

    worker = FakeWorker(probe=lambda _: FACTS, scan=scan)
    ahead = looking(worker)
    facts = ahead.call("probe", probe_request(JOB), MediaFacts, ignore)
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        halfway.set()

    summary = ahead.call("scan", scan_request(JOB.input, PROFILE, WORK, facts), ScanSummary, emit)
    assert summary.frame_count == 2
    assert [event.type for event in events] == ["step.progress"]
    assert worker.asked == ["probe", "scan"]


def test_other_calls_go_to_the_worker_after_what_was_begun() -> None:
    worker = FakeWorker(
        probe=lambda _: FACTS,
        scan=lambda _: ScanSummary(shot_count=1, frame_count=2),
        analyse=lambda _: AnalyseResult(description="a test", analysed=RULES),
    )
    ahead = looking(worker)
    request = AnalyseRequest(path=JOB.input, facts=FACTS, work=WORK, analyser=PROFILE.analyser)
    assert ahead.call("analyse", request, AnalyseResult, ignore).description == "a test"
    assert worker.asked == ["probe", "scan", "analyse"]


def test_an_error_is_raised_where_its_answer_is_asked_for() -> None:
    def refuse(_: Emit) -> BaseModel:
        raise InputError("no video")

    ahead = looking(FakeWorker(probe=refuse))
    with pytest.raises(InputError, match="no video"):
        ahead.call("probe", probe_request(JOB), MediaFacts, ignore)
