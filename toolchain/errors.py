"""Every error a user can meet, named after what the caller does next.

    AgentError                1   our bug: report it
    ├── UsageError            2   call again with other arguments
    ├── InputError            3   give another file
    ├── QualityNotMet         4   keep the original
    │   └── AlreadyHdr        4   keep the original: there is nothing to expand
    └── EnvironmentNotReady   5   mend the machine, then run the same command again
        ├── SubprocessFailed  5   a program of ours failed: its command and last words are in the message
        └── EngineBuildError  5   a network cannot be made ready for a runtime here: choose another runtime
    Interrupted             130   run `agent runs resume`

A message is one sentence: what, the value, what is allowed, the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence


class AgentError(Exception):
    """Base of every error shown to a user; `exit_code` is the process's exit status."""

    exit_code = 1


class UsageError(AgentError):
    """The arguments cannot be used as they are."""

    exit_code = 2


class InputError(AgentError):
    """The input file cannot be read or holds nothing to work on."""

    exit_code = 3


class QualityNotMet(AgentError):
    """No candidate is better than doing nothing; the original is kept."""

    exit_code = 4


class AlreadyHdr(QualityNotMet):
    """The input is HDR already; converting it again would damage it."""


class EnvironmentNotReady(AgentError):
    """The machine lacks something: disk space, memory, a library, a permission."""

    exit_code = 5


class SubprocessFailed(EnvironmentNotReady):
    """A child program failed; the message carries its command and the tail of its stderr."""

    def __init__(self, command: Sequence[str], returncode: int, stderr: str, tail_lines: int = 8):
        tail = " | ".join(line.strip() for line in stderr.strip().splitlines()[-tail_lines:])
        super().__init__(f"`{' '.join(command)}` failed with status {returncode}: {tail or 'no message'}")
        self.returncode = returncode
        self.stderr = stderr


class EngineBuildError(EnvironmentNotReady):
    """A network could not be exported or compiled for a runtime, or its numbers are not those of the network."""


class Interrupted(AgentError):
    """The user or the system asked us to stop; the run can be resumed."""

    exit_code = 130


ERROR_BY_NAME: dict[str, type[AgentError]] = {
    cls.__name__: cls
    for cls in (
        AgentError,
        UsageError,
        InputError,
        QualityNotMet,
        AlreadyHdr,
        EnvironmentNotReady,
        EngineBuildError,
        Interrupted,
    )
}
"""How an error crosses the worker's pipe: by name, rebuilt from its message (see agent.worker)."""
