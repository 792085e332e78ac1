"""What nodes work with. State travels and is stored; these do not."""

from __future__ import annotations

from dataclasses import dataclass

from agent.ahead import LookAhead
from agent.store import Run, RunStore
from agent.worker import Worker
from analysis.selection.profile import Profile
from toolchain.events import Emit


@dataclass(frozen=True)
class Deps:
    """The tools of one run."""

    run: Run
    store: RunStore
    worker: Worker | LookAhead
    profile: Profile
    emit: Emit
