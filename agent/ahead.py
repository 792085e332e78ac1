"""Probe and scan begin while the parent still imports LangGraph, which takes longer than most files need to open."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from agent.requests import probe_request, scan_request
from agent.state import JobSpec
from agent.tasks.messages import ScanSummary
from agent.worker import Worker
from analysis.selection.profile import Profile
from toolchain.events import Emit, Event
from toolchain.video.facts import MediaFacts

Result = TypeVar("Result", bound=BaseModel)

_Answer = queue.Queue[Event | BaseModel | Exception]
"""A call's events as they come, then its result or its error."""


class LookAhead:
    """A worker that is asked for `probe` and `scan` at once; `call` hands out their answers, live, when asked.

    A call that was not foreseen waits for those two and then goes to the worker as any other.
    """

    def __init__(self, worker: Worker, job: JobSpec, profile: Profile, work: Path):
        self._worker = worker
        self._answers: dict[str, _Answer] = {}
        request = probe_request(job)
        answer = self._expect("probe", request)
        self._thread = threading.Thread(
            target=self._run, args=(request, answer, job, profile, work), name="look-ahead", daemon=True
        )
        self._thread.start()

    def call(self, task: str, request: BaseModel, result: type[Result], emit: Emit) -> Result:
        """As `Worker.call`."""
        answer = self._answers.pop(_key(task, request), None)
        if answer is None:
            self._thread.join()
            return self._worker.call(task, request, result, emit)
        while True:
            item = answer.get()
            if isinstance(item, Exception):
                raise item
            if isinstance(item, result):
                return item
            emit(item)  # type: ignore[arg-type] - what is neither error nor result is an event

    def _expect(self, task: str, request: BaseModel) -> _Answer:
        return self._answers.setdefault(_key(task, request), queue.Queue())

    def _run(self, request: BaseModel, probed: _Answer, job: JobSpec, profile: Profile, work: Path) -> None:
        answer = probed
        try:
            facts = self._worker.call("probe", request, MediaFacts, probed.put)
            scan = scan_request(job.input, profile, work, facts)
            answer = self._expect("scan", scan)  # before anyone can know the facts and ask for it
            probed.put(facts)
            answer.put(self._worker.call("scan", scan, ScanSummary, answer.put))
        except Exception as error:
            answer.put(error)  # whatever it is, it is raised where the answer is asked for


def _key(task: str, request: BaseModel) -> str:
    return f"{task} {request.model_dump_json()}"
