"""The graph's nodes: plain functions `(state, deps) -> the fields they change`, one file each."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.deps import Deps
from agent.nodes.analyse import analyse
from agent.nodes.commit import commit
from agent.nodes.keep import keep
from agent.nodes.pilot import pilot
from agent.nodes.plan import plan
from agent.nodes.probe import probe
from agent.nodes.render import render
from agent.nodes.rollback import rollback
from agent.nodes.shots import shots
from agent.nodes.verify import verify
from agent.state import State
from toolchain.events import StepCompleted, StepStarted, Warned

Node = Callable[[State, Deps], State]

NODES: dict[str, Node] = {
    node.__name__: node for node in (probe, shots, analyse, plan, pilot, render, verify, rollback, commit, keep)
}


def run_node(name: str, state: State, deps: Deps) -> State:
    """Run one node between its start and completion events, refusing fields the state does not have.

    The job is the run's present one: a resumed run may have been given --overwrite since its checkpoint.
    """
    deps.emit(StepStarted(step=name))
    status = deps.run.write_status(deps.run.status, step=name)
    started = time.monotonic()
    changes = NODES[name]({**state, "job": status.job.model_dump(mode="json")}, deps)
    unknown = set(changes) - set(State.__annotations__)
    if unknown:
        raise TypeError(f"node {name} returned unknown fields: {', '.join(sorted(unknown))}")
    for message in changes.get("warnings", [])[len(state.get("warnings", [])) :]:
        deps.emit(Warned(message=message))
    deps.emit(StepCompleted(step=name, elapsed_s=round(time.monotonic() - started, 3)))
    return changes
