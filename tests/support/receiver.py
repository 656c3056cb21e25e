"""A receiver of webhooks: keeps what is posted, and answers as it is told to."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tally.local.ports import HOST
from tests.support.functions import read_json

Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Answer:
    """An answer with a status and no body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


class Receiver:
    """Listens on loopback. `answers` are for the next posts, in order; further ones are answered 204."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
                answer = receiver.answers.pop(0) if receiver.answers else status(204)
                try:
                    answer(self)
                except OSError:  # whoever posted has gone
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
                """Quiet."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{HOST}:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """The ids of the posts."""
        return [headers["webhook-id"] for headers, _ in self.posts]

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """What every post says.

        Raises:
            WebhookVerificationError: one is not signed with `secret`.
        """
        for headers, body in self.posts:
            Webhook(secret).verify(body, headers)
        return [read_json(body) for _, body in self.posts]

    def hang(self, _handler: BaseHTTPRequestHandler) -> None:
        """An answer that does not come before the end of the test."""
        self.released.wait()

    def pour(self, handler: BaseHTTPRequestHandler) -> None:
        """An answer whose body does not end before the end of the test, or until nobody reads it any more."""
        handler.send_response(200)
        handler.end_headers()
        while not self.released.is_set():
            handler.wfile.write(b"x" * 65536)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens until the end of the block."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver._server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        receiver._server.shutdown()
        thread.join()
        receiver._server.server_close()
