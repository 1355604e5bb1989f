"""A server with OpenAI's interface for chats, on the loopback address, that fails as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes] | None
"""Status, headers and body; None closes the connection without a word."""


def chat(text: str | None, finish: str = "stop") -> bytes:
    """The body of a right answer."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 11, "completion_tokens": 3}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


class ChatServer:
    """
    Answers by `answer(number of the request, its body)`.

    Attributes:
        requests: bodies, with the headers under "headers" and the path under "path".
        url: its `base_url`.
    """

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answer]):
        self.requests: list[dict[str, Any]] = []
        self.answer, lock = answer, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(outer.requests)
                    outer.requests.append(
                        {**body, "headers": dict(self.headers), "path": self.path}
                    )
                answered = outer.answer(number, body)
                if answered is None:
                    self.close_connection = True
                    return
                status, headers, content = answered
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@contextmanager
def running(answer: Callable[[int, dict[str, Any]], Answer]) -> Iterator[ChatServer]:
    """A server that runs in a thread."""
    server = ChatServer(answer)
    thread = threading.Thread(target=server.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.server.shutdown()
        server.server.server_close()
        thread.join()
