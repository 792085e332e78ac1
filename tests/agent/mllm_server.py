"""A server that speaks as much of the OpenAI protocol as the analyser asks for; its answers are given by the test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CODE = "dr3 ct2 ; noise moderate global ; motion minor local p05 p10 p20 p30 ; key 0 ; qf"
"""A valid answer of the compact family."""


class FakeMllm:
    """Answers every question with `answer`; `requests` keeps what was asked. `status` other than 200 refuses."""

    def __init__(self, answer: str = CODE, model: str = "compact"):
        self.answer, self.model, self.status = answer, model, 200
        self.requests: list[dict[str, Any]] = []
        self.url = ""


@contextmanager
def serving(fake: FakeMllm) -> Iterator[FakeMllm]:
    """The server, at `fake.url`, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({"data": [{"id": fake.model}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.requests.append(asked)
            self._reply({"choices": [{"message": {"content": fake.answer}}]})

        def _reply(self, said: dict[str, Any]) -> None:
            data = json.dumps(said).encode()
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Tests read the client's words only."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
