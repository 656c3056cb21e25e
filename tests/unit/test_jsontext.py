"""JSON in and out, to the digit, and nothing that is not JSON."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally import jsontext
from tally.errors import Malformed

NUMBERS = st.integers(-(10**60), 10**60) | st.decimals(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_is_read_again_to_the_digit(value: Any) -> None:
    assert jsontext.parse(jsontext.dump({"value": value})) == {"value": value}


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_keeps_its_trailing_zeros(number: Decimal) -> None:
    assert jsontext.dump(number) == str(number).encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "EOF"),
        (b"   ", "EOF"),
        (b"{", "EOF"),
        (b"NaN", "expected value"),
        (b"-NaN", "invalid number"),
        (b"Infinity", "expected value"),
        (b"-Infinity", "invalid number"),
        (b"01", "invalid number"),
        (b"1.", "EOF"),
        (b"[1,]", "trailing comma"),
        (b"{'a': 1}", "key must be a string"),
        (b"{} {}", "trailing characters"),
        (b"// c\n{}", "expected value"),
        (b"\xef\xbb\xbf{}", "expected value"),
        (b"\xff\xfe{\x00}\x00", "expected value"),
        (b'"\xff"', "unicode"),
        (b'"\xed\xa0\x80"', "unicode"),
        (b'"\\ud800"', "escape"),
        (b'"\\udc00\\ud800"', "escape"),
        (b'"\x00"', "control character"),
        (b'"\n"', "control character"),
        (b"1" * 5000, "out of range"),
        (b"1e99999999999999999999", "out of range"),
    ],
)
def test_what_is_not_json_in_utf8_is_refused_with_the_reason(text: bytes, says: str) -> None:
    with pytest.raises(Malformed) as refused:
        jsontext.parse(text)
    assert says in refused.value.detail
    assert "Internal" not in refused.value.detail


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_32_levels_are_taken_and_33_are_not(opening: bytes, closing: bytes) -> None:
    levels = opening.count(b"[") + opening.count(b"{")
    times = 32 // levels
    assert jsontext.parse(opening * times + b"0" + closing * times) is not None
    with pytest.raises(Malformed, match="nested deeper than 32 levels"):
        jsontext.parse(b"[" + opening * times + b"0" + closing * times + b"]")


@pytest.mark.parametrize("levels", [100, 250, 100_000])
def test_the_deepest_nesting_is_refused_in_the_same_words(levels: int) -> None:
    for text in (b"[" * levels + b"]" * levels, b"[" * levels, b'{"a":' * levels + b"0" + b"}" * levels):
        if levels == 100 and not text.endswith((b"]", b"}")):
            continue  # cut off before it is too deep
        with pytest.raises(Malformed, match="nested deeper than 32 levels"):
            jsontext.parse(text)


@pytest.mark.parametrize("number", ["1e999999999", "-1e999999999", "1e-999999999", "0e999999999"])
def test_a_short_number_stays_short(number: str) -> None:
    assert len(jsontext.dump(jsontext.parse(number.encode()))) < 20


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("\0", ""),
        ({"a": "x\0"}, "a"),
        ({"a": {"b": ["", {"c": "\0"}]}}, "a.b.1.c"),
        ({"a": {"b\0": 1}}, "a.b␀"),
        (["", "\0"], "1"),
        ({"a": ["b", 0, None]}, None),
    ],
)
def test_a_nul_is_found_wherever_it_is(value: object, where: str | None) -> None:
    assert jsontext.nul_in(value) == where


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("1.00000000005", b"1"),
        ("1.00000000015", b"1.0000000002"),
        ("-0.00000000001", b"0"),
        ("1E+3", b"1000"),
        ("2.50", b"2.5"),
        ("12345678901234567890.5", b"12345678901234567890.5"),
    ],
)
def test_answers_have_up_to_10_decimals(number: str, shown: bytes) -> None:
    assert jsontext.dump_answer(Decimal(number)) == shown


def test_answers_have_sums_of_any_length() -> None:
    answer = {"rows": [{"total_tokens": 10**30, "cost": Decimal("1.50")}]}
    assert jsontext.dump_answer(answer) == b'{"rows":[{"total_tokens":1' + b"0" * 30 + b',"cost":1.5}]}'
