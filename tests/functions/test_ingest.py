"""What ingest answers to what clients send: status, message, and that nothing is taken in part without being told."""

import gzip
import http.client
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tally import tokens
from tally.database import Store
from tests.functions.answers import JSON, NDJSON, post, problem
from tests.support.functions import ADMIN, Functions, Stack, start_stack
from tests.support.postgres import Server, settings_of

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def stack(postgres: Server, module_functions: Functions) -> Iterator[Stack]:
    """One that keeps raw events for a hundred years, so that very old ones can be sent."""
    url = postgres.create()
    yield start_stack(module_functions, url, raw_retention_days=36_500)
    module_functions.stop_all()
    postgres.drop(url)


def token_of(stack: Stack, *scopes: str, **bound: str) -> str:
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    try:
        return tokens.create(store, f"token {uuid.uuid4()}", scopes or ["ingest"], **bound).secret  # type: ignore[arg-type]
    finally:
        store.dispose()


# Taken


def test_one_event_is_taken_and_given_an_id(stack: Stack) -> None:
    answer = post(stack, b'{"model": "m"}')
    assert answer.status_code == 202
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (1, [])
    assert uuid.UUID(body["ids"][0]).version == 7


def test_ids_are_returned_in_the_order_sent(stack: Stack) -> None:
    ids = [f"order-{number}" for number in range(1000)]
    answer = stack.send([{"id": one, "model": "m"} for one in ids])
    assert answer.json() == {"accepted": 1000, "ids": ids, "rejected": []}


def test_ids_that_are_given_stand_in_their_places_among_those_that_came(stack: Stack) -> None:
    ids = stack.send([{"id": "a", "model": "m"}, {"model": "m"}, {"id": "b", "model": "m"}]).json()["ids"]
    assert (ids[0], ids[2]) == ("a", "b")
    assert uuid.UUID(ids[1]).version == 7


def test_the_source_is_the_tokens_name_unless_it_is_given(stack: Stack) -> None:
    token = token_of(stack, "ingest")
    stack.send([{"route": "/source", "id": "1"}, {"route": "/source", "id": "2", "source": "own"}], token)
    sources = {row["source"] for row in stack.usage(route="/source", group_by="source")["rows"]}
    assert "own" in sources
    assert any(source.startswith("token ") for source in sources)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_parameters_and_case_of_the_content_type_do_not_matter(stack: Stack, content_type: str) -> None:
    assert post(stack, b'{"model": "m"}', {"Content-Type": content_type}).status_code == 202


def test_gzip_is_taken(stack: Stack) -> None:
    body = gzip.compress(b'[{"model": "m"}, {"model": "n"}]')
    assert post(stack, body, JSON | {"Content-Encoding": "gzip"}).json()["accepted"] == 2


def test_lines_are_taken(stack: Stack) -> None:
    assert post(stack, b'{"model": "m"}\n\n{"model": "n"}\n', NDJSON).json()["accepted"] == 2


def test_a_chunked_body_without_a_length_is_taken(stack: Stack) -> None:
    parts = iter([b'{"mod', b'el": ', b'"m"}'])
    assert stack.ingest.post("/v1/events", content=parts, headers=JSON).status_code == 202


def test_the_same_id_counts_once(stack: Stack) -> None:
    event = {"id": "once", "source": "same", "route": "/once"}
    assert [stack.send(event).json()["ids"], stack.send([event, event]).json()["ids"]] == [["once"], ["once", "once"]]
    assert stack.usage(route="/once", metrics="requests")["rows"] == [{"requests": 1}]


def test_extremes_that_are_taken_are_stored(stack: Stack) -> None:
    events = [
        {"route": "/extreme", "request_metadata": {"n": 10**299, "list": [-(10**299), {"": ""}]}},
        {"route": "/extreme", "cost_usd": "1e15", "cost_rub": "-1e-30", "response_time_ms": 10**15},
        {"route": "/extreme", "id": "ы" * 200, "source": "\x01" * 200, "error_message": "ы" * 10_000},
        {"route": "/extreme", "input_tokens": 10**15, "output_tokens": 10**15, "cached_input_tokens": 10**15},
        {"route": "/extreme", "labels": {f"{number}": "ы" * 100 for number in range(50)}},
        {"route": "/extreme", "user_id": "\x7f\x80￿\U0010ffff" * 500, "organization_id": "😀" * 2000},
        {"route": "/extreme", "method": "\x1f", "status": 599, "time": 0 + int(time.time()) - 86_400 * 36_000},
    ]
    assert stack.send(events).json()["accepted"] == len(events)
    raw = b'{"route": "/extreme", "request_metadata": {"n": [1e299, -1E-299, 0.' + b"1" * 1000 + b", 0e-299]}}"
    assert post(stack, raw).status_code == 202
    found = stack.usage(route="/extreme", metrics="requests", from_="1900-01-01")
    assert found["rows"] == [{"requests": len(events) + 1}]


# Taken in part


def test_one_bad_event_is_told_and_the_good_are_taken(stack: Stack) -> None:
    answer = stack.send([{"id": "1", "model": "m"}, {"id": "2", "modle": "m"}, {"id": "3", "model": "m"}])
    assert answer.status_code == 207
    assert answer.headers["Content-Type"] == "application/json"
    [rejected] = answer.json()["rejected"]
    assert answer.json()["ids"] == ["1", "3"]
    assert (rejected["index"], rejected["id"]) == (1, "2")
    [error] = rejected["errors"]
    assert error == {
        "field": "modle",
        "message": 'is not a field of a usage event; did you mean "model"?',
        "value": "m",
    }


def test_an_unreadable_line_is_told_and_the_others_are_taken(stack: Stack) -> None:
    answer = post(stack, b'{"model": "m"}\n{"model": \n{"model": "n"}', NDJSON)
    assert answer.status_code == 207
    assert answer.json()["accepted"] == 2
    [rejected] = answer.json()["rejected"]
    assert (rejected["index"], rejected["id"], rejected["errors"][0]["field"]) == (1, None, "")
    assert "not valid JSON" in rejected["errors"][0]["message"]


def test_an_event_over_64_kb_is_told_and_the_others_are_taken(stack: Stack) -> None:
    large = {"id": "large", "model": "m", "request_metadata": {"text": "x" * 65_536}}
    answer = stack.send([{"model": "m"}, large])
    assert answer.status_code == 207
    [rejected] = answer.json()["rejected"]
    assert (rejected["index"], rejected["id"]) == (1, "large")
    assert rejected["errors"][0]["message"] == "the event is over 64 KB"


# None good


def test_when_none_is_good_every_fault_is_listed(stack: Stack) -> None:
    body = problem(stack.send([{"status": 99, "route": 5}, {}]), 422)
    assert [(error["index"], error["field"]) for error in body["errors"]] == [(0, "route"), (0, "status"), (1, "")]
    assert body["errors"][1]["value"] == 99
    assert "greater than or equal to 100" in body["errors"][1]["message"]


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"{}", JSON, "No event was taken"),
        (b"[]", JSON, "There is no event in the request"),
        (b"\n \n", NDJSON, "There is no event in the request"),
        (b"nothing\nhere", NDJSON, "No event was taken"),
        (b"null", JSON, "No event was taken"),
        (b'"text"', JSON, "No event was taken"),
        (b'{"input_tokens": 1e5}', JSON, "No event was taken"),
        (b'{"input_tokens": ' + b"9" * 400 + b"}", JSON, "No event was taken"),
        (b'{"cost_usd": 1e999999999}', JSON, "No event was taken"),
        (b'{"model": "m", "time": 1e999999999}', JSON, "No event was taken"),
        (b'{"route": "a\\u0000b"}', JSON, "No event was taken"),
        (b'{"id": "1", "source": "s", "specversion": "1.0"}', JSON, "No event was taken"),
    ],
)
def test_what_holds_no_good_event_is_422(stack: Stack, body: bytes, headers: dict[str, str], says: str) -> None:
    problem(post(stack, body, headers), 422, says)


@pytest.mark.parametrize(
    ("moved", "says"),
    [(timedelta(minutes=11), "more than 10 minutes ahead"), (timedelta(days=-36_501), "older than the raw events")],
)
def test_a_time_ahead_or_too_old_is_422(stack: Stack, moved: timedelta, says: str) -> None:
    body = problem(stack.send({"model": "m", "time": (datetime.now(UTC) + moved).isoformat()}), 422)
    assert says in body["errors"][0]["message"]


# Malformed


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"", JSON, "not valid JSON"),
        (b"{", JSON, "not valid JSON"),
        (b'{"model": NaN}', JSON, "not valid JSON"),
        (b'{"model": Infinity}', JSON, "not valid JSON"),
        (b'{"model": "\xff"}', JSON, "not valid JSON in UTF-8"),
        (b'{"model": "\x00"}', JSON, "control character"),
        (b'{"model": "\\ud800"}', JSON, "not valid JSON"),
        (b'\xef\xbb\xbf{"model": "m"}', JSON, "not valid JSON"),
        ('{"model": "m"}'.encode("utf-16"), JSON, "not valid JSON"),
        (b'{"input_tokens": ' + b"9" * 5000 + b"}", JSON, "number out of range"),
        (b"[" * 33 + b"]" * 33, JSON, "nested deeper than 32 levels"),
        (b"[" * 1_000_000, JSON, "nested deeper than 32 levels"),
        (b"{}", JSON | {"Content-Encoding": "gzip"}, "not gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], JSON | {"Content-Encoding": "gzip"}, "cut off"),
        (gzip.compress(b"{}", mtime=0) * 2, JSON | {"Content-Encoding": "gzip"}, "behind its end"),
    ],
)
def test_what_cannot_be_read_is_400(stack: Stack, body: bytes, headers: dict[str, str], says: str) -> None:
    problem(post(stack, body, headers), 400, says)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "There is no Content-Type"),
        ({"Content-Type": "text/plain"}, '"text/plain" is not understood'),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "expected one of application/json"),
        (JSON | {"Content-Encoding": "br"}, '"br" is not understood; expected gzip'),
    ],
)
@pytest.mark.parametrize("path", ["/v1/events", "/api/usage-log"])
def test_what_is_not_understood_is_415(stack: Stack, headers: dict[str, str], says: str, path: str) -> None:
    if path == "/api/usage-log":
        says = says.replace("There is no Content-Type", "expected application/json").replace("one of ", "")
    problem(post(stack, b'{"route": "/a"}', headers, path), 415, says)


# Too large


def test_1001_events_are_413_and_none_is_taken(stack: Stack) -> None:
    body = problem(stack.send([{"route": "/1001"}] * 1001), 413)
    assert "1001 events in one request; at most 1000" in body["detail"]
    assert stack.usage(route="/1001", metrics="requests")["rows"] == [{"requests": 0}]


def test_5_mb_are_taken_and_a_byte_more_is_413(stack: Stack) -> None:
    event = b'{"model": "m"}'
    assert post(stack, event + b" " * (5 * MEGABYTE - len(event))).status_code == 202
    problem(post(stack, event + b" " * (5 * MEGABYTE + 1 - len(event))), 413, "over 5 MB")


def test_10_mb_after_gunzip_are_taken_and_a_byte_more_is_413(stack: Stack) -> None:
    event, encoded = b'{"model": "m"}', JSON | {"Content-Encoding": "gzip"}
    assert post(stack, gzip.compress(event + b" " * (10 * MEGABYTE - len(event)), 1), encoded).status_code == 202
    problem(post(stack, gzip.compress(event + b" " * (10 * MEGABYTE + 1 - len(event)), 1), encoded), 413, "over 10 MB")


def test_a_chunked_body_over_5_mb_is_413(stack: Stack) -> None:
    parts = (b" " * 65_536 for _ in range(160))
    problem(stack.ingest.post("/v1/events", content=parts, headers=JSON), 413, "over 5 MB")


@pytest.mark.parametrize("token", [ADMIN, "tly_unknown"])
def test_a_client_that_sends_all_10_mb_before_it_reads_sees_the_answer(stack: Stack, token: str) -> None:
    for _ in range(5):
        connection = http.client.HTTPConnection(stack.ingest.url.removeprefix("http://"), timeout=60)
        connection.request("POST", "/v1/events", b"x" * 10_000_000, JSON | {"Authorization": f"Bearer {token}"})
        assert connection.getresponse().status == (413 if token == ADMIN else 401)
        connection.close()


def memory_of(pid: int) -> int:
    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))


def test_a_gzip_bomb_is_413_and_fills_no_memory(stack: Stack) -> None:
    bomb = gzip.compress(b"0" * 500_000_000, 1)
    assert len(bomb) < 5 * MEGABYTE
    before = memory_of(stack.ingest.pid)
    for _ in range(3):
        problem(post(stack, bomb, JSON | {"Content-Encoding": "gzip"}), 413, "over 10 MB after gunzip")
    assert memory_of(stack.ingest.pid) - before < 100 * MEGABYTE


# Where


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/event", "/v1/events/", "/v1/events/x", "/push"])
def test_a_path_of_nobody_is_404(stack: Stack, path: str) -> None:
    problem(post(stack, b"{}", JSON, path), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/events", "/api/usage-log"])
def test_another_method_is_405_and_told_which(stack: Stack, method: str, path: str) -> None:
    answer = stack.ingest.request(method, path)
    problem(answer, 405, f"{method} is not possible here; allowed: POST")
    assert answer.headers["Allow"] == "POST"


def test_a_strange_host_is_no_reason_to_fail(stack: Stack) -> None:
    for host in ("[", "a b", "x" * 300):
        assert post(stack, b'{"model": "m"}', JSON | {"Host": host}).status_code == 202
        problem(post(stack, b"{}", JSON | {"Host": host}, "/nothing"), 404)


# Bound tokens


@pytest.mark.parametrize("field", ["organization_id", "team_id", "user_id"])
def test_a_bound_token_sets_its_field_and_refuses_another_value(stack: Stack, field: str) -> None:
    token = token_of(stack, "ingest", **{field: "bound"})
    route = f"/bound/{field}"
    events = [{"route": route}, {"route": route, field: "bound"}, {"route": route, field: "other", "id": "bad"}]
    answer = stack.send(events, token)
    assert answer.status_code == 207
    [rejected] = answer.json()["rejected"]
    assert (rejected["index"], rejected["id"]) == (2, "bad")
    [error] = rejected["errors"]
    assert error == {"field": field, "message": 'this token sends for "bound" only', "value": "other"}
    found = stack.usage(route=route, metrics="requests", group_by=field)["rows"]
    assert found == [{field: "bound", "requests": 2}]


def test_nobody_can_claim_anothers_ids(stack: Stack) -> None:
    event = {"id": "claimed", "source": "shared", "route": "/claimed"}
    for token in (token_of(stack, organization_id="a"), token_of(stack, organization_id="b"), token_of(stack)):
        assert [stack.send(event, token).status_code for _ in range(2)] == [202, 202]
    assert stack.usage(route="/claimed", metrics="requests")["rows"] == [{"requests": 3}]
