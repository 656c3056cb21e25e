"""The rules of a usage event, as cases beside what becomes of them, and its limits to the character."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tally import jsontext
from tally.event import ALIASES, FIELDS, MAX_LABELS, InvalidEvent, Window, nearest_name, parse_event
from tally.intake import take

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[1] / "cases" / "events.yml").read_text("utf-8"))
RECEIVED = datetime(2026, 5, 1, 12, tzinfo=UTC)
WINDOW = Window.at_receipt(RECEIVED, 400)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    body = case["json"].encode()
    batch = take([jsontext.parse(body)], body, WINDOW)
    if "taken" in case:
        assert batch.rejected == []
        [(index, event)] = batch.events
        assert index == 0
        assert jsontext.parse(jsontext.dump(event)) == jsontext.parse(case["taken"].encode())
    else:
        [rejected] = batch.rejected
        found = [(error["field"], error["message"]) for error in rejected.errors]
        assert [field for field, _ in found] == [field for field, _ in case["refused"]]
        for (_, message), (_, expected) in zip(found, case["refused"], strict=True):
            assert expected in message


def test_names_of_cases_are_different() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_every_alias_stands_in_a_case() -> None:
    taken = [jsontext.parse(case["json"].encode()) for case in CASES if "taken" in case]
    used = {name for event in taken for name in event}
    assert used >= ALIASES.keys()


def refusal(event: dict[str, Any]) -> list[str]:
    """The fields at fault."""
    with pytest.raises(InvalidEvent) as refused:
        parse_event(event, WINDOW)
    return [error["field"] for error in refused.value.errors]


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("id", 200),
        ("source", 200),
        ("error_message", 10_000),
        *((name, 2000) for name in sorted(FIELDS) if name in {"route", "user_id", "user_agent", "topic", "model"}),
    ],
)
def test_a_text_has_at_most_so_many_characters_whatever_their_bytes(field: str, most: int) -> None:
    event = {"operation": "o", field: "ы" * most}
    assert parse_event(event, WINDOW)[field] == "ы" * most  # type: ignore[literal-required]
    assert refusal(event | {field: "ы" * (most + 1)}) == [field]


def test_a_method_is_measured_in_capitals() -> None:
    assert refusal({"route": "/a", "method": "ß" * 2000}) == ["method"]


def test_an_event_has_at_most_50_labels() -> None:
    labels = {f"label {number}": "" for number in range(MAX_LABELS)}
    assert parse_event({"route": "/a", "labels": labels}, WINDOW)["labels"] == labels
    assert refusal({"route": "/a", "labels": labels | {"one more": ""}}) == ["labels"]


def test_a_label_has_a_name_of_1_to_200_and_a_value_of_at_most_2000_characters() -> None:
    labels = {"n" * 200: "v" * 2000}
    assert parse_event({"route": "/a", "labels": labels}, WINDOW)["labels"] == labels
    assert refusal({"route": "/a", "labels": {"n" * 201: ""}}) == [f"labels.{'n' * 201}"]
    assert refusal({"route": "/a", "labels": {"n": "v" * 2001}}) == ["labels.n"]
    assert refusal({"route": "/a", "labels": {"": "v"}}) == ["labels."]


def test_what_is_sent_back_of_a_bad_value_is_short() -> None:
    with pytest.raises(InvalidEvent) as refused:
        parse_event({"route": "x" * 5000, "status": {"a": "secret"}, "input_tokens": 10**200}, WINDOW)
    values = {error["field"]: error.get("value") for error in refused.value.errors}
    assert values["route"] == "x" * 100 + "…"
    assert values["status"] == "(dict)"
    assert len(str(values["input_tokens"])) == 101


@pytest.mark.parametrize(
    ("number", "taken"),
    [
        ("1e299", True),
        ("1e300", False),
        ("1" + "0" * 300, False),
        ("9" * 300, True),
        ("-" + "9" * 300, True),
        ("0." + "1" * 1000, True),
        ("0." + "1" * 1001, False),
        ("1e-1000", False),
    ],
)
def test_numbers_in_metadata_are_those_that_everybody_can_read(number: str, taken: bool) -> None:
    event = {"route": "/a", "request_metadata": {"deep": [{"n": jsontext.parse(number.encode())}]}}
    if taken:
        assert parse_event(event, WINDOW)["request_metadata"] == event["request_metadata"]
    else:
        assert refusal(event) == ["request_metadata"]


def test_a_message_published_takes_what_was_taken_just_before() -> None:
    published = Window.around(RECEIVED + timedelta(minutes=2), 400)
    behind = Window.around(RECEIVED - timedelta(seconds=20), 400)
    assert published.oldest <= WINDOW.oldest
    assert behind.latest >= WINDOW.latest


def test_a_name_that_resembles_none_or_is_very_long_has_no_nearest() -> None:
    assert nearest_name("reponse_status") == "response_status"
    assert nearest_name("qqqq") is None
    assert nearest_name("model" * 20) is None


def test_a_flood_of_unknown_names_is_answered_for_each() -> None:
    assert len(refusal({f"unknown{number}": number for number in range(3000)})) == 3000
