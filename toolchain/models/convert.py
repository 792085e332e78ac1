"""Downloaded checkpoints become safetensors once, in a child process with resource limits.

A `.pth` file is a pickle in a zip archive, and a hostile one tries to run code or to fill the memory. It is therefore
read with `weights_only=True`, which refuses code, and in a child that may use little memory and time. Nothing else in
the product reads pickles: networks are loaded from the safetensors file.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.errors import ERROR_BY_NAME, AgentError, InputError
from toolchain.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT_S = 300
MEMORY_BYTES = 1 << 30
"""What the child may map on top of what torch itself takes; the published checkpoints hold 2.4 MB."""


def convert(checkpoint: Path, source_sha256: str, folder: Path) -> Path:
    """Write the tensors of `checkpoint` to `folder` as `<source_sha256>.<own sha256>.safetensors`, atomically.

    The checkpoint must be a flat dict of finite floating-point tensors. InputError: it is not, or reading it breaks
    the child's limits. EnvironmentNotReady: the file cannot be written.
    """
    # -P: a folder that the user happens to be in must not lend us its torch.py.
    command = [sys.executable, "-P", "-m", __name__, str(checkpoint), source_sha256, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{checkpoint} took more than {TIMEOUT_S} s to read: it is damaged or hostile") from None
    return folder / _answer(child, checkpoint)


def _answer(child: subprocess.CompletedProcess[str], checkpoint: Path) -> str:
    """The name of the file the child wrote; raises what the child met."""
    try:
        answer = json.loads(child.stdout)
    except ValueError:
        last_words = child.stderr.strip().splitlines()[-1:] or ["no message"]
        raise InputError(
            f"{checkpoint} crashed its reader (status {child.returncode}: {last_words[0]}): it is damaged or hostile"
        ) from None
    if "error" in answer:
        raise ERROR_BY_NAME[answer["error"]](answer["message"])
    return answer["file"]


def _read_tensors(checkpoint: Path) -> dict[str, Tensor]:
    import torch

    try:
        content: Any = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damage leads it into
        reason = str(error).split("\n")[0].split(". ")[0]
        raise InputError(
            f"{checkpoint} is no weights file ({type(error).__name__}: {reason}): give the published file"
        ) from error
    _check(content, checkpoint)
    return {name: tensor.detach().contiguous().clone() for name, tensor in content.items()}


def _check(content: Any, checkpoint: Path) -> None:
    """A flat, finite float state dict that is no larger than the file it came from, or InputError."""
    import torch

    if not isinstance(content, dict) or not content:
        raise InputError(f"{checkpoint} holds {_kind(content)}: weights are a flat dict of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not torch.is_tensor(value):
            raise InputError(f"{checkpoint} holds {_kind(value)} as {name!r}: weights are a flat dict of tensors")
        if not value.is_floating_point() or value.layout != torch.strided:
            raise InputError(f"{checkpoint}: {name!r} is {value.dtype}: weights are dense floating-point tensors")
    # A view can claim any shape over one stored number; real tensors are as large as their file at most.
    if sum(value.numel() * value.element_size() for value in content.values()) > checkpoint.stat().st_size:
        raise InputError(f"{checkpoint} claims more numbers than it holds: it is damaged or hostile")
    broken = [name for name, value in content.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise InputError(f"{checkpoint}: {broken[0]!r} holds values that are not finite: give the published file")


def _kind(value: Any) -> str:
    return f"an empty {type(value).__name__}" if value == {} else f"a {type(value).__name__}"


def convert_here(checkpoint: Path, source_sha256: str, folder: Path) -> str:
    """`convert` in this process: what the child does under its limits. Returns the name of the file written."""
    from safetensors.torch import save

    data = save(_read_tensors(checkpoint), metadata={"source_sha256": source_sha256})
    name = f"{source_sha256}.{hashlib.sha256(data).hexdigest()}.safetensors"
    write_atomic(folder / name, data)
    return name


def _limit_resources() -> None:
    """Bounds on top of what torch, already imported, has mapped so far."""
    mapped_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = {
        resource.RLIMIT_AS: mapped_bytes + MEMORY_BYTES,
        resource.RLIMIT_CPU: TIMEOUT_S,
        resource.RLIMIT_CORE: 0,
    }
    for kind, wanted in limits.items():
        _, hard = resource.getrlimit(kind)
        # Whoever started us may have bounds of its own, which only root may raise.
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (limit, limit))


def _main() -> None:
    import safetensors.torch  # noqa: F401 - before the limits, which are on top of what libraries map

    _limit_resources()
    checkpoint, source_sha256, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    try:
        answer = {"file": convert_here(checkpoint, source_sha256, folder)}
    except MemoryError:
        answer = {"error": "InputError", "message": f"{checkpoint} needs too much memory: it is damaged or hostile"}
    except AgentError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main()
