"""What other systems send, as cases beside what becomes of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tally import jsontext
from tally.dialects import cloudevents, gateway, native
from tally.errors import Malformed, PayloadTooLarge
from tally.event import Window
from tally.intake import Batch, take

FOLDER = Path(__file__).parents[1] / "cases"
CLOUDEVENTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "cloudevents.yml").read_text("utf-8"))
GATEWAY: list[dict[str, Any]] = yaml.safe_load((FOLDER / "gateway.yml").read_text("utf-8"))
WINDOW = Window.at_receipt(datetime(2026, 5, 1, 12, tzinfo=UTC), 400)


def check(case: dict[str, Any], batch: Batch) -> None:
    if "taken" in case:
        assert batch.rejected == []
        assert jsontext.parse(jsontext.dump(batch.events[0][1])) == jsontext.parse(case["taken"].encode())
        return
    found = [(error["field"], error["message"]) for error in batch.rejected[0].errors]
    assert [field for field, _ in found] == [field for field, _ in case["refused"]]
    for (_, message), (_, expected) in zip(found, case["refused"], strict=True):
        assert expected in message


@pytest.mark.parametrize("case", CLOUDEVENTS, ids=[case["name"] for case in CLOUDEVENTS])
def test_cloudevent(case: dict[str, Any]) -> None:
    body = case["json"].encode()
    check(case, take([jsontext.parse(body)], body, WINDOW))


@pytest.mark.parametrize("case", GATEWAY, ids=[case["name"] for case in GATEWAY])
def test_gateway_call(case: dict[str, Any]) -> None:
    body = case["json"].replace("DIGITS", "9" * 5000).encode()
    headers = {"idempotency-key": case["key"]} if "key" in case else {}
    check(case, take([gateway.read(body, headers)], body, WINDOW))


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'[{"route": "/a"}]', b"{", b""])
def test_a_gateway_logs_one_object(body: bytes) -> None:
    with pytest.raises(Malformed):
        gateway.read(body, {})


def test_headers_of_a_binary_cloudevent_are_percent_decoded() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-subject": "%D0%B0%D0%BD%D0%BD%D0%B0 100%25", "host": "h"}
    envelope = {"specversion": "1.0", "id": "1", "subject": "анна 100%", "data": {"model": "m"}}
    assert cloudevents.from_headers(headers, {"model": "m"}) == envelope


def test_attributes_of_a_message_are_taken_as_they_are() -> None:
    attributes = {"ce-specversion": "1.0", "ce-subject": "100%25"}
    assert cloudevents.from_attributes(attributes, 1) == {"specversion": "1.0", "subject": "100%25", "data": 1}


def test_without_ce_headers_there_is_no_binary_cloudevent() -> None:
    assert cloudevents.from_headers({"content-type": "application/json"}, {}) is None
    assert cloudevents.from_attributes({"source": "s"}, {}) is None


def test_lines_may_be_blank_end_in_any_way_and_be_unreadable_one_by_one() -> None:
    items = native.read_lines(b'{"a": 1}\r\n\n  \n{"a": \n[1]\n{"a": 2}')
    assert [items[0], *items[2:]] == [{"a": 1}, [1], {"a": 2}]
    unreadable = items[1]
    assert isinstance(unreadable, native.UnreadableLine)
    assert unreadable.data == b'{"a": '


def test_a_thousand_lines_are_read_and_no_more() -> None:
    assert len(native.read_lines(b"1\n\n" * 1000)) == 1000
    with pytest.raises(PayloadTooLarge, match="1001 events"):
        native.read_lines(b"1\n" * 1001)
