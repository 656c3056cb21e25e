"""`tally smoke` passes on a Tally that counts right, and says what to look at on one that does not."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from tally import tokens
from tally.database import Store
from tally.local.ports import HOST, free_port
from tally.smoke import SmokeFailed, Target, smoke
from tests.support.functions import Functions, Stack
from tests.support.postgres import rows, settings_of

PATIENCE, SETTLE = 1.0, 0.3
Change = Callable[[dict[str, object]], dict[str, object] | None]


def token(stack: Stack, *scopes: str, organization_id: str | None = "tally-smoke") -> str:
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    try:
        return tokens.create(store, "smoke", scopes, organization_id=organization_id).secret
    finally:
        store.dispose()


def run(stack: Stack, secret: str, url: str | None = None, settle: float = SETTLE) -> list[str]:
    """The steps that went well."""
    steps: list[str] = []
    smoke(Target(url or stack.ingest.url, stack.query.url, secret), steps.append, patience=PATIENCE, settle=settle)
    return steps


@contextmanager
def between(stack: Stack, change: Change) -> Iterator[str]:
    """The address of something before ingest that passes on what `change` makes of an event, and loses None."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(stack.ingest.get(self.path))

        def do_POST(self) -> None:
            event = change(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if event is None:
                self._answer(httpx.Response(202, json={}))
                return
            self._answer(
                stack.ingest.post(self.path, json=event, headers={"Authorization": self.headers["Authorization"]})
            )

        def _answer(self, answer: httpx.Response) -> None:
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_tally_that_counts_right_passes_by_the_command_with_the_token_in_the_environment(stack: Stack) -> None:
    addresses = ("--url", f"{stack.ingest.url}/", "--query-url", stack.query.url)
    done = subprocess.run(
        [sys.executable, "-m", "tally.cli", "smoke", *addresses],
        env=os.environ | {"SMOKE_TOKEN": token(stack, "ingest", "read")},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Tally counts right")
    assert done.stderr.count("\n") == 5


def test_what_was_sent_is_in_the_figures_of_its_own_organization_only(stack: Stack) -> None:
    before = stack.usage(organization_id="tally-smoke", metrics="requests")["rows"][0]["requests"]
    assert len(run(stack, token(stack, "ingest", "read"))) == 5
    assert stack.usage(organization_id="tally-smoke", metrics="requests")["rows"][0]["requests"] == before + 1
    others = "SELECT DISTINCT value FROM dimensions WHERE kind = 'organization'"
    assert rows(stack.database_url, others) == [("tally-smoke",)]


def test_a_token_that_is_bound_to_nothing_will_do(stack: Stack) -> None:
    assert len(run(stack, token(stack, "ingest", "read:all", organization_id=None))) == 5


@pytest.mark.parametrize(
    ("scopes", "organization", "said"),
    [
        (["ingest"], "tally-smoke", "/v1/usage answered 403.*needs the scopes ingest and read"),
        (["read"], "tally-smoke", "/v1/events answered 403.*needs the scopes ingest and read"),
        (["ingest", "read"], "acme", "/v1/events answered 422.*bound to the organization tally-smoke"),
    ],
)
def test_a_token_for_something_else_is_said_to_be(
    stack: Stack, scopes: list[str], organization: str, said: str
) -> None:
    with pytest.raises(SmokeFailed, match=said):
        run(stack, token(stack, *scopes, organization_id=organization))


def test_an_unknown_token_is_said_to_be(stack: Stack) -> None:
    with pytest.raises(SmokeFailed, match=r"/v1/events answered 401.*give a token that is registered"):
        run(stack, "tly_unknown")


def test_an_event_that_is_accepted_and_lost_is_a_fault_of_what_stores_it(stack: Stack) -> None:
    said = r"not counted after 1 s.*make logs FUNCTION=record.*dead letters"
    with between(stack, lambda _: None) as url, pytest.raises(SmokeFailed, match=said):
        run(stack, token(stack, "ingest", "read"), url)


def test_a_repetition_that_counts_again_is_a_fault(stack: Stack) -> None:
    said = r"counted 2 times.*make logs FUNCTION=record.*make rollback"
    with between(stack, lambda event: {**event, "id": uuid.uuid4().hex}) as url, pytest.raises(SmokeFailed, match=said):
        run(stack, token(stack, "ingest", "read"), url)


def test_a_late_repetition_that_counts_again_is_a_fault(stack: Stack) -> None:
    sent: list[object] = []

    def forget_late(event: dict[str, object]) -> dict[str, object]:
        sent.append(event)
        return {**event, "id": f"{event['id']}-again"} if len(sent) > 2 else event

    with between(stack, forget_late) as url, pytest.raises(SmokeFailed, match="counted 2 times"):
        run(stack, token(stack, "ingest", "read"), url, settle=10)


def test_what_is_down_is_named_after_it_was_waited_for(stack: Stack, functions: Functions) -> None:
    ingest = functions.start("ingest", stack.database_url, record_url=f"http://{HOST}:{free_port()}")
    secret = token(stack, "ingest", "read")
    with pytest.raises(SmokeFailed, match=r"/v1/events answered 503: record did not confirm.*FUNCTION=ingest"):
        run(stack, secret, ingest.url)
    ingest.kill()
    with pytest.raises(SmokeFailed, match=r"/health/ready does not answer.*FUNCTION=ingest"):
        run(stack, secret, ingest.url)


def test_what_is_away_for_a_moment_is_waited_for(stack: Stack, functions: Functions) -> None:
    record = functions.start("record", stack.database_url)
    ingest = functions.start("ingest", stack.database_url, record_url=record.url)
    record.kill()
    Thread(target=record.start).start()
    steps: list[str] = []
    smoke(Target(ingest.url, stack.query.url, token(stack, "ingest", "read")), steps.append, settle=SETTLE)
    assert len(steps) == 5


@pytest.mark.parametrize("url", ["tally.example.com", "", "ftp://tally.example.com"])
def test_what_is_no_address_is_said_to_be(stack: Stack, url: str) -> None:
    with pytest.raises(SmokeFailed, match="is no address"):
        smoke(Target(url, stack.query.url, "tly"), lambda _: None)


def test_another_service_is_told_from_tally(stack: Stack) -> None:
    with pytest.raises(SmokeFailed, match=r"/v1/events answered 404.*is this the address of Tally\?"):
        smoke(Target(stack.query.url, stack.query.url, token(stack, "ingest")), lambda _: None)
