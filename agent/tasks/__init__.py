"""What the worker process can do. One file a task; a task is a function `(request, emit) -> result`."""

from __future__ import annotations

import gc
from collections.abc import Callable
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from agent.tasks import messages
from toolchain.errors import AgentError
from toolchain.events import Emit

TASKS = ("probe", "scan", "analyse", "pilot", "render", "mux", "verify", "score")
"""Each names the module `agent.tasks.<name>` and the function in it."""

_WARM_UP = tuple(f"agent.tasks.{task}" for task in TASKS)


def run(name: str, request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Run the task `name` on a JSON request; returns its result as JSON data."""
    if name not in TASKS:
        raise AgentError(f"unknown task '{name}': tasks are {', '.join(TASKS)}")
    task: Callable[[BaseModel, Emit], BaseModel] = getattr(import_module(f"agent.tasks.{name}"), name)
    request_type: type[BaseModel] = getattr(messages, f"{name.capitalize()}Request")
    return task(request_type.model_validate(request), emit).model_dump(mode="json")


def preload() -> None:
    """Import all tasks, in the order in which a job needs them, beside the first ones' work."""
    gc.disable()  # what imports make stays: looking through it again and again costs a fifth of the time
    try:
        for module in _WARM_UP:
            import_module(module)
    finally:
        gc.freeze()
        gc.enable()
