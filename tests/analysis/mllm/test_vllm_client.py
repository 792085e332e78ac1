"""The HTTP client against a server of this process that speaks the OpenAI protocol, well and badly."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from analysis.mllm.analyser import KeyFrame, analyse
from analysis.mllm.client_vllm import ServerSettings, VllmEngine
from analysis.mllm.code import GRAMMAR
from analysis.mllm.engine import FrameQuestion
from analysis.mllm.families import family
from tests.analysis.mllm.measured_shots import plain_shot
from toolchain.errors import EnvironmentNotReady, UsageError

image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

Reply = tuple[int, Any]
"""Status, and the body: bytes as they are, anything else as JSON."""


def said(text: str) -> Reply:
    return 200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


class FakeServer:
    """Answers each POST by `reply(number, body)`; keeps what it was sent and how many requests ran at once."""

    def __init__(self, reply: Callable[[int, dict[str, Any]], Reply]):
        self.reply = reply
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self.at_once = 0
        self.lock = threading.Lock()
        self.url = ""

    def handle(self, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self.lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(headers)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self.reply(number, body)
        finally:
            with self.lock:
                self.at_once -= 1


@contextmanager
def serving(reply: Callable[[int, dict[str, Any]], Reply]) -> Iterator[FakeServer]:
    fake = FakeServer(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send({"data": [{"id": "tiny"}]} if self.path == "/v1/models" else {}, 200)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = fake.handle(body, dict(self.headers))
            self.send(answer, status if self.path == "/v1/chat/completions" else 404)

        def send(self, answer: Any, status: int) -> None:
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def engine(fake: FakeServer, kind: str = "compact", **settings: Any) -> VllmEngine:
    quick = {"model": "tiny", "timeout_s": 5.0, "first_wait_s": 0.01, "most_wait_s": 0.02, **settings}
    return VllmEngine(ServerSettings(url=fake.url, **quick), family(kind))


def question(shade: int = 0, attempt: int = 0) -> FrameQuestion:
    pictures = (image_module.new("RGB", (56, 28), (shade, 2, 3)), image_module.new("RGB", (448, 252), (9, shade, 7)))
    return FrameQuestion(pictures, attempt)


def pictures_of(body: dict[str, Any]) -> list[Any]:
    parts = [part for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
    prefix = "data:image/png;base64,"
    urls = [part["image_url"]["url"] for part in parts]
    assert all(url.startswith(prefix) for url in urls)
    return [image_module.open(io.BytesIO(base64.b64decode(url[len(prefix) :]))) for url in urls]


def test_the_compact_model_is_held_to_its_grammar_and_sees_exact_pictures() -> None:
    with serving(lambda number, body: said("the answer")) as fake:
        assert engine(fake).ask([question(shade=200)]) == ["the answer"]
    body = fake.bodies[0]
    assert body["structured_outputs"] == {"grammar": GRAMMAR}
    assert "response_format" not in body
    assert body["model"] == "tiny"
    assert (body["temperature"], body["seed"]) == (0.0, 0)
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert body["messages"][0]["content"][-1] == {"type": "text", "text": "report range contrast defects quality"}
    frame, statistics = pictures_of(body)
    assert (frame.size, frame.getpixel((5, 5))) == ((56, 28), (200, 2, 3))
    assert (statistics.size, statistics.getpixel((5, 5))) == ((448, 252), (9, 200, 7))
    assert "Authorization" not in fake.headers[0]


def test_a_large_model_is_held_to_the_schema_with_instructions_before_the_pictures() -> None:
    with serving(lambda number, body: said("{}")) as fake:
        engine(fake, "qwen2_5_vl").ask([question()])
    body = fake.bodies[0]
    chosen = body["response_format"]
    assert chosen["type"] == "json_schema"
    boxes = chosen["json_schema"]["schema"]["properties"]["distortions"]["items"]["properties"]["bbox_2d"]
    assert [side["maximum"] for side in boxes["prefixItems"]] == [84, 56, 84, 56]  # what 56x28 becomes: 3136 at least
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert [part["type"] for part in body["messages"][1]["content"]] == ["image_url", "image_url", "text"]


def test_a_second_attempt_is_drawn_differently() -> None:
    with serving(lambda number, body: said("x")) as fake:
        engine(fake).ask([question(attempt=1)])
    assert fake.bodies[0]["temperature"] > 0
    assert fake.bodies[0]["seed"] == 1


def test_answers_keep_their_order_and_requests_their_limit() -> None:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        shade = pictures_of(body)[0].getpixel((0, 0))[0]
        time.sleep(0.05 if shade % 2 else 0.01)
        return said(str(shade))

    with serving(reply) as fake:
        assert engine(fake, concurrency=3).ask([question(shade) for shade in range(12)]) == [
            str(n) for n in range(12)
        ]
    assert 2 <= fake.most_at_once <= 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int) -> None:
    with serving(lambda number, body: (status, {"message": "busy"}) if number < 2 else said("done")) as fake:
        assert engine(fake, tries=3).ask([question()]) == ["done"]
    assert len(fake.bodies) == 3


def test_a_server_that_stays_busy_is_given_up_with_its_words() -> None:
    with (
        serving(lambda number, body: (503, {"error": {"message": "loading\n the model"}})) as fake,
        pytest.raises(EnvironmentNotReady, match=r"no answer from http.*2 tries \(status 503: loading the model"),
    ):
        engine(fake, tries=2).ask([question()])
    assert len(fake.bodies) == 2


@pytest.mark.parametrize(
    ("status", "remedy"), [(400, "limits on pictures"), (401, "SDR2HDR_MLLM_KEY"), (404, "serves tiny")]
)
def test_a_refusal_is_not_repeated(status: int, remedy: str) -> None:
    with (
        serving(lambda number, body: (status, {"error": {"message": "no " * 500}})) as fake,
        pytest.raises(EnvironmentNotReady, match=remedy) as caught,
    ):
        engine(fake).ask([question()])
    assert len(fake.bodies) == 1
    assert len(str(caught.value)) < 450


def test_waits_between_tries_grow_to_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("analysis.mllm.client_vllm.time.sleep", waits.append)
    with serving(lambda number, body: (500, b"oops")) as fake, pytest.raises(EnvironmentNotReady, match="oops"):
        engine(fake, tries=6, first_wait_s=1.0, most_wait_s=5.0).ask([question()])
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ([], "without an answer"),
        ({"choices": []}, "without an answer"),
        ({"choices": [{"message": {"content": None}}]}, "without an answer"),
        ({"choices": [7]}, "without an answer"),
    ],
)
def test_a_reply_of_another_kind_is_named(reply: Any, complaint: str) -> None:
    with serving(lambda number, body: (200, reply)) as fake, pytest.raises(EnvironmentNotReady, match=complaint):
        engine(fake).ask([question()])


def test_an_endless_reply_is_cut_off() -> None:
    with (
        serving(lambda number, body: (200, b" " * (2 << 20))) as fake,
        pytest.raises(EnvironmentNotReady, match="more than 1048576 bytes"),
    ):
        engine(fake, tries=1).ask([question()])


def test_a_silent_server_costs_the_timeout_and_no_more() -> None:
    release = threading.Event()

    def reply(number: int, body: dict[str, Any]) -> Reply:
        release.wait(10)
        return said("too late")

    with serving(reply) as fake:
        started_s = time.monotonic()
        with pytest.raises(EnvironmentNotReady, match=r"nothing within 0\.3 s"):
            engine(fake, timeout_s=0.3, tries=2).ask([question()])
        release.set()
    assert time.monotonic() - started_s < 5


def test_a_trickling_server_costs_the_timeout_and_no_more() -> None:
    """Every byte comes in time, the whole does not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked = VllmEngine(
            ServerSettings(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", "tiny", timeout_s=0.4, tries=1),
            family("compact"),
        )
        done = threading.Event()

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # the client hangs up
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
                while not done.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        started_s = time.monotonic()
        with pytest.raises(EnvironmentNotReady, match=r"within 0\.4 s"):
            asked.ask([question()])
        assert time.monotonic() - started_s < 5
        done.set()
        thread.join()


def test_no_server_is_an_environment_that_is_not_ready() -> None:
    with serving(lambda number, body: said("")) as fake:
        url = fake.url
    gone = VllmEngine(ServerSettings(url=url, model="tiny", tries=2, first_wait_s=0.01), family("compact"))
    with pytest.raises(EnvironmentNotReady, match="check that the server runs"):
        gone.ask([question()])
    with pytest.raises(EnvironmentNotReady, match="check that the server runs"):
        gone.check()


def test_the_first_failure_stops_the_rest() -> None:
    with serving(lambda number, body: (400, {"message": "no"})) as fake, pytest.raises(EnvironmentNotReady):
        engine(fake, concurrency=1).ask([question() for _ in range(20)])
    assert len(fake.bodies) < 20


def test_the_key_comes_from_the_environment_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDR2HDR_MLLM_KEY", "abc-secret")
    with serving(lambda number, body: (401, {"message": "who"})) as fake:
        asked = engine(fake)
        with pytest.raises(EnvironmentNotReady) as caught:
            asked.ask([question()])
    assert fake.headers[0]["Authorization"] == "Bearer abc-secret"
    assert "abc-secret" not in str(caught.value) + repr(asked) + asked.name


def test_check_knows_what_is_served() -> None:
    with serving(lambda number, body: said("")) as fake:
        engine(fake).check()
        with pytest.raises(EnvironmentNotReady, match="serves tiny and not big"):
            engine(fake, model="big").check()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://host/v1", "file:///etc/passwd", "http://", "http://a:b@c/v1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="correct it"):
        ServerSettings(url=url, model="tiny")


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        ServerSettings(url="http://127.0.0.1/v1", model="tiny", tries=0)


def test_key_frames_become_a_report_over_http() -> None:
    """A family that counts pixels: what the server says of the picture it was sent lands in 0..1000 of the frame."""
    answer = {
        "dynamic_range": "medium",
        "contrast": "medium",
        "distortions": [{"type": "noise", "severity": "severe", "bbox_2d": [0, 0, 952, 532]}],
        "key": [0],
        "level": "poor",
        "score": 2.1,
    }

    def reply(number: int, body: dict[str, Any]) -> Reply:
        if number == 0:
            return said("I see noise.")
        assert pictures_of(body)[0].size == (952, 532)
        return said(json.dumps(answer))

    with serving(reply) as fake:
        rgb = np.full((540, 960, 3), 120, np.uint8)
        found = analyse([plain_shot(0)], [KeyFrame(0, 3, rgb)], engine(fake, "qwen2_5_vl"))
    report = found.analysis.shots[0].report
    assert [item.bbox_1000 for item in report.distortions] == [(0, 0, 1000, 1000)]
    assert (report.quality.level, report.quality.score) == ("poor", 2.1)
    assert (found.engine, found.asked_again, found.frames[0].frame) == ("vllm:tiny", 1, 3)
    assert [body["seed"] for body in fake.bodies] == [0, 1]
