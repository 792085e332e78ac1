"""A real vLLM server, started by the line that `agent serve-mllm` prints, gives the local engine's answers.

Opt-in, `make test-vllm`: vLLM lives in an environment of its own, named by SDR2HDR_VLLM_PYTHON (its interpreter).
The model is the one that ships; SDR2HDR_COMPACT_MODEL names another compact one.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.engines import open_engine, shipped_model
from agent.serving import Serving
from analysis.mllm.analyser import read_answers
from analysis.mllm.engine import Engine, FrameQuestion
from analysis.mllm.settings import AnalyserSettings
from toolchain.errors import EnvironmentNotReady

PYTHON = os.environ.get("SDR2HDR_VLLM_PYTHON")
START_S = 600.0
OFFLINE = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
HELP = Path(__file__).with_name("vllm_cpu")

pytestmark = [
    pytest.mark.skipif(PYTHON is None, reason="needs vLLM's own environment: run by `make test-vllm`"),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def model() -> Path:
    """The folder of the model that ships, or of the one that is named: as it is, whatever else lies in it."""
    given = os.environ.get("SDR2HDR_COMPACT_MODEL")
    folder = Path(given).resolve() if given else shipped_model()
    assert folder is not None
    return folder


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that asks a server of that model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serving = Serving(str(model), "compact", port=port, cpu=True, extra=("--dtype", "float32"))
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(Path(str(PYTHON)).absolute().with_name("vllm")), *serving.command[1:]],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **serving.environment, **OFFLINE, "PYTHONPATH": str(HELP)},
            start_new_session=True,
        )
        try:
            yield _engine(process, f"http://127.0.0.1:{port}/v1", serving.name, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)


def _engine(process: subprocess.Popen[bytes], url: str, name: str, log: Path) -> Engine:
    settings = AnalyserSettings(engine="vllm", url=url, model=name, family="compact", timeout_s=300, retries=0)
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            return open_engine(settings)
        except EnvironmentNotReady:
            time.sleep(2)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")


def pictures() -> list[NDArray[np.uint8]]:
    """Frames that differ in light, detail and colour."""
    rng = np.random.default_rng(5)
    ramp = np.linspace(0, 255, 960)[None, :, None].repeat(540, 0).repeat(3, 2)
    noise = rng.normal(0, 12, (540, 960, 3))
    squares = (np.indices((540, 960)).sum(0) // 24 % 2 * 160)[..., None] * np.array([1.0, 0.6, 0.3])
    return [np.clip(each, 0, 255).astype(np.uint8) for each in (ramp, ramp + noise, squares, squares + noise)]


def asked(engine: Engine) -> list[str]:
    return engine.ask([FrameQuestion(engine.family.images(rgb)) for rgb in pictures()])


def test_a_real_server_gives_the_local_engines_answers(server: Engine, model: Path) -> None:
    local = open_engine(AnalyserSettings(engine="local", model=str(model), family="compact"))
    assert asked(server) == asked(local)


def test_every_answer_of_the_server_is_valid(server: Engine) -> None:
    questions = [FrameQuestion(server.family.images(rgb)) for rgb in pictures()]
    answers = read_answers(server, questions)
    assert [answer.problem for answer in answers] == [""] * len(questions)
