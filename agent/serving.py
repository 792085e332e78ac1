"""`agent serve-mllm`: the vLLM server that the engine `vllm` asks, started with what a family of models needs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from analysis.mllm.settings import FamilyName
from toolchain.errors import EnvironmentNotReady

FRAME_PICTURES = 2
"""What is sent of a frame: the picture, and its statistics as a picture."""

CONTEXT_TOKENS: dict[FamilyName, int] = {
    "compact": 1024,
    "qwen2_vl": 8192,
    "qwen2_5_vl": 8192,
    "qwen3_vl": 8192,
    "internvl": 16384,
}
"""Room for the prompt, the two pictures and the longest answer. InternVL cuts a picture into up to 12 tiles."""

CPU_CACHE_GIB = 1


@dataclass(frozen=True)
class Serving:
    """What is to be served, and where. `host` 127.0.0.1 is reached from this machine alone: vLLM asks for no
    password unless it is given one."""

    model: str
    family: FamilyName
    host: str = "127.0.0.1"
    port: int = 8000
    cpu: bool = False
    extra: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a client calls the model: a folder's own name, a published model's name as it is."""
        folder = Path(self.model)
        return folder.resolve().name if folder.is_dir() else self.model

    @property
    def command(self) -> list[str]:
        """Program and arguments.

        Answers are held to schema or grammar by xgrammar, without free whitespace; vLLM 0.32 with `guidance` lets a
        word-level model leave its grammar and then ends the request.
        """
        structured = {"backend": "xgrammar", "disable_any_whitespace": True}
        command = ["vllm", "serve", self.model, "--served-model-name", self.name]
        command += ["--host", self.host, "--port", str(self.port)]
        command += ["--max-model-len", str(CONTEXT_TOKENS[self.family])]
        command += ["--limit-mm-per-prompt", json.dumps({"image": FRAME_PICTURES, "video": 0})]
        command += ["--structured-outputs-config", json.dumps(structured)]
        command += ["--dtype", "bfloat16", "--enforce-eager"] if self.cpu else []
        return [*command, *self.extra]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the program needs besides the present ones."""
        return {"VLLM_CPU_KVCACHE_SPACE": str(CPU_CACHE_GIB)} if self.cpu else {}

    @property
    def line(self) -> str:
        """The same for a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, shlex.join(self.command)])

    def start(self) -> None:
        """Become the server: never returns. EnvironmentNotReady where vLLM is not installed."""
        if shutil.which(self.command[0]) is None:
            raise EnvironmentNotReady(
                "vllm is not installed here: pip install 'sdr2hdr-agent[vllm]' on a machine with a GPU, or print the "
                "line with --print and run it where vLLM is"
            )
        os.execvpe(self.command[0], self.command, {**os.environ, **self.environment})  # noqa: S606 - no shell wanted
