"""The question of GET /v1/forecast is read or refused."""

from contextlib import suppress
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tally.errors import Malformed
from tally.usage.forecast_question import parse_forecast_question
from tally.usage.question import DIMENSIONS

NOW = datetime(2026, 4, 6, 12, tzinfo=UTC)
PARAMETERS = st.tuples(
    st.sampled_from(["days", "history_days", "timezone", "currency", "label:x", "metrics", "from", *DIMENSIONS])
    | st.text(max_size=8),
    st.sampled_from(["1", "366", "367", "UTC", "RUB", "²"]) | st.text(max_size=8),
)


@given(st.lists(PARAMETERS, max_size=6))
def test_a_question_is_read_or_refused(parameters: list[tuple[str, str]]) -> None:
    with suppress(Malformed):
        question = parse_forecast_question(parameters, NOW)
        assert 1 <= question.days <= 366
        assert 2 <= question.history_days <= 366


def test_nothing_asked_is_thirty_days_learnt_from_twelve_weeks() -> None:
    question = parse_forecast_question([], NOW)
    assert (question.days, question.history_days, str(question.zone), question.currency) == (30, 84, "UTC", "USD")
    assert question.filters == {}
