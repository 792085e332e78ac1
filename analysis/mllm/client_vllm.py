"""Asks a model behind an OpenAI-compatible server (vLLM), holding its decoding to the family's schema or grammar."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from analysis.mllm.engine import FrameQuestion
from analysis.mllm.families import Constraint, Family
from toolchain.errors import EnvironmentNotReady, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_REPLY_BYTES = 1 << 20
RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
"""Statuses that a busy or starting server gives; any other refusal would be given again."""
LATER_TEMPERATURE = 0.5
"""How freely a second answer is drawn, once the likeliest one was not valid."""


@dataclass(frozen=True)
class ServerSettings:
    """Where the server is and how it is asked.

    `url`: up to the version, e.g. `http://127.0.0.1:8000/v1`. `key_variable` names the environment variable with the
    server's key, if it wants one. `timeout_s` bounds one whole request, `tries` how often it is made.
    """

    url: str
    model: str
    timeout_s: float = 60.0
    tries: int = 3
    first_wait_s: float = 0.5
    most_wait_s: float = 10.0
    concurrency: int = 4
    max_tokens: int = 1024
    key_variable: str = "SDR2HDR_MLLM_KEY"

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise UsageError(f"the server's address {self.url!r} is not like http://127.0.0.1:8000/v1: correct it")
        if self.tries < 1 or self.concurrency < 1 or self.timeout_s <= 0:
            raise UsageError("tries and concurrency of the model's server are at least 1, its timeout is above 0 s")


class VllmEngine:
    """An analysis.mllm.engine.Engine. Requests run side by side, at most `settings.concurrency` of them."""

    def __init__(self, settings: ServerSettings, family: Family):
        self._settings = settings
        self._family = family

    @property
    def name(self) -> str:
        return f"vllm:{self._settings.model}"

    @property
    def family(self) -> Family:
        return self._family

    def ask(self, questions: Sequence[FrameQuestion]) -> list[str]:
        """One answer a question, in order. The first failure is raised, and what has not begun is not asked."""
        with ThreadPoolExecutor(self._settings.concurrency, "mllm") as pool:
            answers = [pool.submit(self._answer, question) for question in questions]
            try:
                return [answer.result() for answer in answers]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def check(self) -> None:
        """Return if the server is there and serves the model; EnvironmentNotReady says what is wrong otherwise."""
        reply = self._post_or_get("GET", "/models", None)
        served = [str(entry.get("id")) for entry in _entries(reply, "data")]
        if self._settings.model not in served:
            raise EnvironmentNotReady(
                f"{self._settings.url} serves {', '.join(served)[:200] or 'nothing'} and not "
                f"{self._settings.model}: start it with that model or name one it serves"
            )

    def _answer(self, question: FrameQuestion) -> str:
        body = json.dumps(request_body(self._settings, self._family, question)).encode()
        choices = _entries(self._post_or_get("POST", "/chat/completions", body), "choices")
        message = choices[0].get("message") if choices else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str):
            raise EnvironmentNotReady(
                f"{self._settings.url} replied without an answer: check that it serves chat models"
            )
        return content

    def _post_or_get(self, method: str, path: str, body: bytes | None) -> Any:
        settings = self._settings
        problem = ""
        for attempt in range(settings.tries):
            if attempt:
                time.sleep(min(settings.most_wait_s, settings.first_wait_s * 2 ** (attempt - 1)))
            try:
                status, text = _request(settings, method, path, body)
            except (OSError, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
                continue
            if status == http.HTTPStatus.OK:
                return _json(text, settings.url)
            problem = f"status {status}: {_reason(text)}"
            if status not in RETRIED:
                raise EnvironmentNotReady(
                    f"{settings.url} refused the request ({problem}): {_remedy(status, settings)}"
                )
        raise EnvironmentNotReady(
            f"no answer from {settings.url} in {settings.tries} tries ({problem}): check that the server runs"
        )


def request_body(settings: ServerSettings, family: Family, question: FrameQuestion) -> dict[str, Any]:
    """The chat completion request of one question: instructions, pictures, then what is asked."""
    prompt = family.prompt()
    pictures = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in question.images]
    messages: list[dict[str, Any]] = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages.append({"role": "user", "content": [*pictures, {"type": "text", "text": prompt.user}]})
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": messages,
        "max_tokens": settings.max_tokens,
        "temperature": LATER_TEMPERATURE if question.attempt else 0.0,
        "seed": question.attempt,
    }
    return body | _held_to(family.constraint(question.size))


def data_url(image: Image) -> str:
    """The picture as a PNG in a data URL: statistics must arrive exactly."""
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _held_to(constraint: Constraint) -> dict[str, Any]:
    if constraint.kind == "grammar":
        return {"structured_outputs": {"grammar": constraint.text}}
    schema = {"name": "frame_report", "schema": json.loads(constraint.text), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _request(settings: ServerSettings, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    """Status and body of one request. OSError or HTTPException where there is none within the time allowed."""
    parts = urlsplit(settings.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=settings.timeout_s)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    key = os.environ.get(settings.key_variable)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    deadline_s = time.monotonic() + settings.timeout_s
    try:
        connection.request(method, parts.path.rstrip("/") + path, body, headers)
        reply = connection.getresponse()
        return reply.status, _read(reply, deadline_s, settings.timeout_s)
    except TimeoutError as error:
        raise TimeoutError(f"nothing within {settings.timeout_s:g} s") from error
    finally:
        connection.close()


def _read(reply: http.client.HTTPResponse, deadline_s: float, timeout_s: float) -> bytes:
    """The whole body, bounded in size and in time: a server that trickles does not hold the analysis up."""
    chunks: list[bytes] = []
    size = 0
    while chunk := reply.read1(65536):
        size += len(chunk)
        chunks.append(chunk)
        if size > MAX_REPLY_BYTES:
            raise http.client.HTTPException(f"a reply of more than {MAX_REPLY_BYTES} bytes")
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"nothing complete within {timeout_s:g} s")
    return b"".join(chunks)


def _json(text: bytes, url: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EnvironmentNotReady(f"{url} replied with something that is no JSON: check the address") from error


def _entries(reply: Any, name: str) -> list[dict[str, Any]]:
    entries = reply.get(name) if isinstance(reply, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _reason(text: bytes) -> str:
    """The server's own words, shortened to one line."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = text.decode("utf-8", "replace")
    for name in ("error", "message", "detail"):
        said = said.get(name, said) if isinstance(said, dict) else said
    return " ".join(str(said).split())[:200] or "no reason given"


def _remedy(status: int, settings: ServerSettings) -> str:
    if status in (401, 403):
        return f"set {settings.key_variable} to the server's key"
    if status == http.HTTPStatus.NOT_FOUND:
        return f"check the address and that the server serves {settings.model}"
    return "check the server's version and its limits on pictures and length"
