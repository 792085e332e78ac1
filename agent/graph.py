"""The whole graph on one screen. This is the only module that knows LangGraph.

probe -> shots -> analyse -> plan -> pilot -> render -> verify -> commit
                                       |        ^         |
                                       |        +- rollback (next candidate, from the source)
                                       +-> keep <-+
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from agent import routing
from agent.deps import Deps
from agent.nodes import NODES, run_node
from agent.state import JobSpec, State
from toolchain.errors import EnvironmentNotReady, InputError, QualityNotMet


def build(run: Callable[[str, State], State]) -> StateGraph[Any, Any, Any, Any]:
    """The graph; `run(name, state)` executes a node and returns the fields it changes."""
    graph = StateGraph(State)
    for name in NODES:
        node: Any = partial(run, name)
        graph.add_node(name, node)
    graph.add_edge(START, "probe")
    graph.add_edge("probe", "shots")
    graph.add_edge("shots", "analyse")
    graph.add_conditional_edges("analyse", routing.after_analyse, {"plan": "plan", "stop": END})
    graph.add_conditional_edges("plan", routing.after_plan, {"pilot": "pilot", "stop": END})
    graph.add_conditional_edges("pilot", routing.after_pilot, {"render": "render", "keep": "keep", "stop": END})
    graph.add_edge("render", "verify")
    graph.add_conditional_edges("verify", routing.after_verify, {"commit": "commit", "rollback": "rollback"})
    graph.add_conditional_edges("rollback", routing.after_rollback, {"render": "render", "keep": "keep"})
    graph.add_edge("commit", END)
    graph.add_edge("keep", END)
    return graph


def execute(job: JobSpec, deps: Deps, checkpoints: Path, thread_id: str) -> State:
    """Run the job to its end, from its last checkpoint if it has one; the finished thread is removed.

    Errors of the nodes (toolchain.errors) pass through unchanged. The checkpoint then stays for a resume, unless the
    error is about the file itself.
    """
    with _storage_errors(checkpoints), SqliteSaver.from_conn_string(str(checkpoints)) as saver:
        graph = build(partial(run_node, deps=deps)).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": thread_id}, "recursion_limit": routing.STEP_BUDGET}
        begun = graph.get_state(config).next
        start: Any = None if begun else {"job": job.model_dump(mode="json")}
        try:
            state: Any = graph.invoke(start, config)
        except (InputError, QualityNotMet):
            saver.delete_thread(thread_id)
            raise
        saver.delete_thread(thread_id)
    return state


@contextmanager
def _storage_errors(checkpoints: Path) -> Iterator[None]:
    """SQLite's own failures, most often a full disk, in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise EnvironmentNotReady(
            f"cannot write {checkpoints} ({error}): free some disk space, then resume"
        ) from error


def mermaid() -> str:
    """The graph as Mermaid text."""
    return build(lambda name, state: state).compile().get_graph().draw_mermaid()
