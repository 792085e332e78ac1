"""Reading answers and asking a server needs no network library: `agent` starts fast and works without the extras."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "PIL", "llguidance", "onnx", "openvino")
MODULES = (
    "analyser", "answer_json", "client_vllm", "code", "engine", "families", "frame_report", "measured", "pooling",
    "prompts",
)  # fmt: skip


def test_the_analyser_imports_nothing_heavy() -> None:
    imports = ", ".join(f"analysis.mllm.{name}" for name in MODULES)
    program = f"import sys, {imports}; sys.stdout.write(','.join(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
