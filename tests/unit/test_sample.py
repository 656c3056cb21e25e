"""The sample data: what it holds, and how it is delivered."""

import gzip
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from tally import jsontext
from tally.event import Window, parse_event
from tally.local.sample import SOURCES, LoadReport, SampleLoadError, generate, load, sample_tokens

END = datetime(2026, 5, 14, 15, 42, 7, 250_000, tzinfo=UTC)
Event = dict[str, Any]


@pytest.fixture(scope="module")
def month() -> list[Event]:
    return list(generate(events=20_000, days=35, seed=7, end=END))


def test_the_same_arguments_give_the_same_events() -> None:
    assert list(generate(500, 3, 1, END)) == list(generate(500, 3, 1, END))


@pytest.mark.parametrize(
    "other", [(501, 3, 1, END), (500, 4, 1, END), (500, 3, 2, END), (500, 3, 1, END + timedelta(seconds=1))]
)
def test_other_arguments_share_no_ids(other: tuple[int, int, int, datetime]) -> None:
    ids = {event["id"] for event in generate(500, 3, 1, END)}
    assert ids.isdisjoint(event["id"] for event in generate(*other))


def test_every_event_is_one_that_tally_takes(month: list[Event]) -> None:
    window = Window(oldest=END - timedelta(days=35), latest=END)
    parsed = [parse_event(jsontext.parse(json.dumps(event).encode()), window) for event in month]
    assert len({(event["source"], event["id"]) for event in parsed}) == 20_000


def test_times_rise_through_the_whole_period_to_its_end(month: list[Event]) -> None:
    times = [datetime.fromisoformat(event["time"]) for event in month]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert END - timedelta(days=35) <= times[0] < END - timedelta(days=34)
    assert END - timedelta(hours=1) < times[-1] <= END


def test_an_id_is_a_uuid7_of_its_time(month: list[Event]) -> None:
    for event in month[::50]:
        identifier = UUID(event["id"])
        milliseconds = (datetime.fromisoformat(event["time"]) - datetime.fromtimestamp(0, UTC)) / timedelta(
            milliseconds=1
        )
        assert (identifier.version, identifier.int >> 80) == (7, milliseconds)


@pytest.mark.parametrize("events", [0, 1, 7, 1000])
def test_there_are_as_many_events_as_asked_for(events: int) -> None:
    assert len(list(generate(events, 2, 3, END))) == events


def test_all_four_systems_take_part(month: list[Event]) -> None:
    assert {event["source"] for event in month} == set(SOURCES)
    assert {event["source"] for event in generate(100, 1, 1, END, sources=["gateway"])} == {"gateway"}


def test_the_cast_is_a_few_organizations_with_some_200_users_30_tokens_and_40_routes(
    month: list[Event],
) -> None:
    distinct = {
        field: len({event[field] for event in month if field in event})
        for field in ("organization_id", "user_id", "token_hash", "team_id")
    }
    routes = {(event["route"], event.get("method")) for event in month if "route" in event}
    assert distinct["organization_id"] == 6
    assert 180 <= distinct["user_id"] <= 200
    assert (distinct["token_hash"], distinct["team_id"]) == (30, 6)
    assert 36 <= len(routes) <= 44


def test_few_users_are_heavy_and_many_are_light(month: list[Event]) -> None:
    calls = sorted(Counter(event["user_id"] for event in month if "user_id" in event).values(), reverse=True)
    assert sum(calls[:20]) > sum(calls[20:]) * 0.7
    assert calls[0] > 20 * calls[len(calls) // 2]


def test_days_are_busier_than_nights_and_the_end_than_the_start(month: list[Event]) -> None:
    office = [event for event in month if event["source"] == "content-platform"]
    moscow_hours = Counter((datetime.fromisoformat(event["time"]).hour + 3) % 24 for event in office)
    assert moscow_hours[11] > 5 * moscow_hours[3]
    assert len([event for event in month if event["time"] >= (END - timedelta(days=7)).isoformat()]) > len(
        [event for event in month if event["time"] < (END - timedelta(days=28)).isoformat()]
    )


def test_costs_are_exact_decimals_in_dollars_and_roubles_and_some_calls_are_unpriced(
    month: list[Event],
) -> None:
    assert {event["cost"]["currency"] for event in month if "cost" in event} == {"USD", "RUB"}
    assert any("cost_usd" in event and "cost_rub" in event for event in month)
    amounts = [event["cost"]["amount"] for event in month if "cost" in event]
    assert all(isinstance(amount, str) and "e" not in amount.lower() for amount in amounts)
    assert any("model" in event and not {"cost", "cost_usd"} & event.keys() for event in month)


def test_some_generator_calls_give_text_lengths_instead_of_tokens(month: list[Event]) -> None:
    generated = [event for event in month if event["source"] == "generator"]
    estimated = [event for event in generated if "input_text_length" in event]
    assert estimated
    assert all("input_tokens" not in event for event in estimated)
    assert len(estimated) < len(generated) / 2


def test_parts_of_token_counts_stay_within_their_whole(month: list[Event]) -> None:
    for event in month:
        cached = event.get("cached_input_tokens", 0) + event.get("cache_write_tokens", 0)
        assert cached <= event.get("input_tokens", 0)
        assert event.get("reasoning_tokens", 0) <= event.get("output_tokens", 0)


def test_addresses_belong_to_the_documentation_ranges(month: list[Event]) -> None:
    ranges = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8::")
    assert all(event["ip_address"].startswith(ranges) for event in month if "ip_address" in event)


def test_every_gateway_token_is_listed_with_its_name_and_team(month: list[Event]) -> None:
    teams = {token.token_hash: token.team_id for token in sample_tokens(7)}
    used = {(event["token_hash"], event["team_id"]) for event in month if event["source"] == "gateway"}
    assert used <= teams.items()
    assert len({token.name for token in sample_tokens(7)}) == len(teams) == 30


@pytest.mark.parametrize(
    "arguments",
    [
        {"events": -1},
        {"days": 0},
        {"end": datetime(2026, 5, 14)},  # noqa: DTZ001 - the zone is missing on purpose
        {"sources": ["gatevay"]},
        {"sources": []},
    ],
)
def test_impossible_arguments_are_refused_at_once(arguments: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"events": 1, "days": 1, "seed": 1, "end": END}
    with pytest.raises(ValueError, match="expected"):
        generate(**usual | arguments)


Answer = tuple[int, dict[str, str], dict[str, Any]]


class Receiver:
    """An ingest endpoint whose answers a test decides; what it confirms it keeps."""

    def __init__(self) -> None:
        self.answer: Callable[[int], Answer | None] = lambda _: None
        self.kept: list[Event] = []
        self.posts: list[tuple[str, str | None, list[str]]] = []
        self.clock: datetime | None = END
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with suppress(ConnectionError):  # a load that failed hangs up on its other requests
                    super().handle()

            def do_GET(self) -> None:
                date = {"Date": format_datetime(receiver.clock, usegmt=True)} if receiver.clock else {}
                receiver._send(self, (200, date, {}))

            def do_POST(self) -> None:
                events = json.loads(gzip.decompress(self.rfile.read(int(self.headers["Content-Length"]))))
                receiver._send(self, receiver._take(self, events))

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def _take(self, handler: BaseHTTPRequestHandler, events: list[Event]) -> Answer:
        ids = [event["id"] for event in events]
        with self._lock:
            number = len(self.posts)
            self.posts.append((handler.path, handler.headers["Authorization"], ids))
            answer = self.answer(number)
            if answer is None:
                self.kept += events
                answer = (202, {}, {"accepted": len(ids), "ids": ids, "rejected": []})
        return answer

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        status, headers, body = answer
        text = json.dumps(body).encode()
        handler.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def send(receiver: Receiver, events: int = 2100, end: datetime | None = None) -> tuple[LoadReport, list[int]]:
    seen: list[int] = []
    report = load(receiver.url, "tly_x", events=events, days=2, seed=5, progress=seen.append, end=end)
    return report, seen


def test_every_generated_event_is_delivered_once_with_the_token(receiver: Receiver) -> None:
    report, seen = send(receiver, end=END)
    sent = list(generate(2100, 2, 5, END))
    assert sorted(receiver.kept, key=lambda event: event["id"]) == sorted(sent, key=lambda event: event["id"])
    assert {(path, authorization) for path, authorization, _ in receiver.posts} == {("/v1/events", "Bearer tly_x")}
    assert (report.events, report.retries, seen[-1]) == (2100, 0, 2100)
    assert seen == sorted(seen)
    assert report.requests == len(receiver.posts)


def test_the_events_end_at_the_time_of_the_server(receiver: Receiver) -> None:
    send(receiver, events=10)
    assert sorted(event["id"] for event in receiver.kept) == sorted(
        event["id"] for event in generate(10, 2, 5, END.replace(microsecond=0))
    )


def test_a_server_without_a_clock_is_refused(receiver: Receiver) -> None:
    receiver.clock = None
    with pytest.raises(SampleLoadError, match="Date"):
        send(receiver, events=10)


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_for_now_is_repeated_with_the_same_ids(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda number: (status, {"Retry-After": "0"}, {}) if number == 0 else None
    report, _ = send(receiver, end=END)
    refused = receiver.posts[0][2]
    assert [ids for _, _, ids in receiver.posts].count(refused) == 2
    assert (report.events, report.retries, len(receiver.kept)) == (2100, 1, 2100)


def test_a_rejected_event_ends_the_load_and_says_why(receiver: Receiver) -> None:
    fault = {"index": 3, "id": "e3", "errors": [{"field": "time", "message": "is too old"}]}
    receiver.answer = lambda _: (207, {}, {"accepted": 499, "ids": [], "rejected": [fault]})
    with pytest.raises(SampleLoadError, match="is too old"):
        send(receiver, end=END)


def test_a_bad_token_ends_the_load_and_says_so(receiver: Receiver) -> None:
    receiver.answer = lambda _: (401, {}, {"title": "Unauthorized", "detail": "The token is unknown."})
    with pytest.raises(SampleLoadError, match=r"401: The token is unknown"):
        send(receiver, end=END)


def test_fewer_accepted_than_sent_is_an_error(receiver: Receiver) -> None:
    receiver.answer = lambda _: (202, {}, {"accepted": 1, "ids": ["a"], "rejected": []})
    with pytest.raises(SampleLoadError, match="took 1 of"):
        send(receiver, end=END)


def test_nobody_listening_is_one_clear_error(receiver: Receiver) -> None:
    receiver.close()
    with pytest.raises(SampleLoadError, match="does not answer"):
        send(receiver)
