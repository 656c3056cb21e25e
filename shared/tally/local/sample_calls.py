"""One call of each of the four sample systems: an event's fields but for `id`, `source` and `time`."""

import random
from math import exp, log
from typing import Any

from tally.local.sample_cast import GATEWAY_ORGANIZATION, IMAGE_MODEL, Cast, Model, Route, Weighted

Fields = dict[str, Any]

_ERRORS = Weighted(
    [
        (429, "rate_limit", "Too many requests, try again later"),
        (400, "invalid_request", "The request body does not match the schema"),
        (500, "server_error", "Internal error of the called service"),
        (503, "overloaded", "The service is overloaded"),
        (401, "authentication", "The credentials were not accepted"),
        (404, "not_found", "No such resource"),
        (502, "bad_gateway", "Upstream closed the connection"),
        (504, "timeout", "Upstream did not answer within 30 s"),
        (403, "permission", "The token may not call this route"),
    ],
    [30, 18, 14, 10, 8, 8, 6, 4, 2],
)
_TIMEOUT_MS = 30_000.0
_SUCCESS_STATUS = {"GET": 200, "POST": 200, "PUT": 201}
_CONNECTION_LOST_SHARE = 0.03

_USER_AGENTS = Weighted(
    [
        "python-httpx/0.28.1",
        "axios/1.7.9",
        "okhttp/4.12.0",
        "Go-http-client/2.0",
        "curl/8.11.1",
        "PostmanRuntime/7.43.0",
    ],
    [40, 25, 15, 12, 6, 2],
)
# RFC 5737 and RFC 3849: address ranges that belong to nobody.
_DOCUMENTATION_NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
_IPV6_SHARE = 0.15

_WORKFLOWS = ("wf-daily-post", "wf-campaign", "wf-newsletter", "wf-on-demand")
_AGENTS = Weighted(["copywriter", "strategist", "editor", "illustrator", "researcher"], [40, 20, 18, 12, 10])
_CONTENT_PLATFORMS = Weighted(["telegram", "vk", "instagram", "dzen"], [55, 30, 10, 5])
_CONTENT_TYPES = Weighted(["post", "story", "article", "caption"], [50, 20, 18, 12])
_TASK_TYPES = Weighted(["draft", "rewrite", "translate", "summarize"], [48, 28, 14, 10])
_TIERS = Weighted(["free", "pro", "enterprise"], [60, 30, 10])

_TOPICS = Weighted(
    [
        "Новости компании",
        "Рецепты на неделю",
        "Путешествия по Карелии",
        "Уход за комнатными растениями",
        "Финансовая грамотность",
        "Домашние тренировки",
        "Школьные олимпиады",
        "Ремонт своими руками",
        "Обзор книг",
        "Весенняя распродажа",
        "Здоровый сон",
        "История Санкт-Петербурга",
        "Нейросети для начинающих",
        "Подготовка к ЕГЭ",
        "Кофе и кофейни",
    ],
    [15, 12, 11, 10, 9, 8, 7, 6, 5, 4, 4, 3, 3, 2, 1],
)
_OPERATIONS = Weighted(["TEXT_GENERATION", "IMAGE_PROMPT", "IMAGE_GENERATION"], [70, 18, 12])
_OPERATION_MEDIAN_MS = {"TEXT_GENERATION": 3200.0, "IMAGE_PROMPT": 1500.0, "IMAGE_GENERATION": 14_000.0}
_OPERATION_ERROR_RATE = {"TEXT_GENERATION": 0.015, "IMAGE_PROMPT": 0.01, "IMAGE_GENERATION": 0.06}
_GENERATOR_PLATFORMS = Weighted(["web", "telegram", "vk", "api"], [45, 30, 15, 10])
_TOKEN_TYPES = Weighted(["personal", "guest", "team"], [60, 25, 15])

_NANO = 10**9
_RUB_PER_USD_IN_CENTS = 9_250  # 92.50 RUB for one dollar, the rate at which system A keeps both
_GENERATOR_NANO_RUB_PER_TOKEN = 200_000  # 1000 RUB for 5 million tokens
_CHARACTERS_PER_TOKEN = 2.5


def _money(nano: int) -> str:
    """Nano-units of a currency as an exact decimal string."""
    return f"{nano // _NANO}.{nano % _NANO:09d}"


def _around(rng: random.Random, median: float, sigma: float) -> float:
    return exp(rng.gauss(log(median), sigma))


def _hex(rng: random.Random, digits: int) -> str:
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def _address(rng: random.Random) -> str:
    if rng.random() < _IPV6_SHARE:
        return f"2001:db8::{rng.getrandbits(12) + 1:x}"
    return f"{_DOCUMENTATION_NETWORKS[int(rng.random() * 3)]}.{int(rng.random() * 254) + 1}"


def _outcome(rng: random.Random, route: Route) -> Fields:
    """Status, response time and, at the route's error rate, what went wrong."""
    if rng.random() >= route.error_rate:
        return {
            "status": _SUCCESS_STATUS[route.method],
            "response_time_ms": round(_around(rng, route.median_ms, route.spread), 1),
        }
    status, error_type, message = _ERRORS.pick(rng)
    elapsed = _TIMEOUT_MS if status == 504 else _around(rng, route.median_ms * 0.4, route.spread)
    return {
        "status": status,
        "response_time_ms": round(elapsed, 1),
        "error_type": error_type,
        "error_message": message,
    }


def gateway_call(rng: random.Random, cast: Cast) -> Fields:
    """System D: a call through the gateway, known by its token's hash; nothing in it to price."""
    token = cast.gateway_tokens.pick(rng)
    route = cast.gateway_routes.pick(rng)
    outcome = _outcome(rng, route)
    if outcome["status"] >= 500 and rng.random() < _CONNECTION_LOST_SHARE:
        # The connection broke before any status came: an error known by its message only.
        del outcome["status"]
    return {
        "organization_id": GATEWAY_ORGANIZATION,
        "team_id": token.team_id,
        "token_hash": token.token_hash,
        "route": route.path,
        "method": route.method,
        **outcome,
        "ip_address": _address(rng),
        "user_agent": _USER_AGENTS.pick(rng),
    }


def _model_tokens(rng: random.Random, model: Model) -> Fields:
    """Token counts whose parts never exceed their whole."""
    input_tokens = max(1, int(_around(rng, model.median_input, 0.6)))
    fields: Fields = {"input_tokens": input_tokens}
    if model.median_output:
        fields["output_tokens"] = max(1, int(_around(rng, model.median_output, 0.5)))
    else:
        fields["output_tokens"] = 0
    if model.cached_share and rng.random() < 0.7:
        fields["cached_input_tokens"] = int(input_tokens * model.cached_share * rng.random())
        if model.provider == "anthropic" and rng.random() < 0.2:
            fields["cache_write_tokens"] = int((input_tokens - fields["cached_input_tokens"]) * 0.5)
    if model.reasoning_share:
        fields["reasoning_tokens"] = int(fields["output_tokens"] * model.reasoning_share * rng.random())
    return fields


def _dollar_cost(prices: tuple[int, int], tokens: Fields) -> int:
    """Nano-dollars at a model's list prices; cached input counts at a quarter of them."""
    input_price, output_price = prices
    input_quarters: int = 4 * tokens["input_tokens"] - 3 * tokens.get("cached_input_tokens", 0)
    output_tokens: int = tokens["output_tokens"]
    # Micro-dollars per million tokens are nano-dollars per thousand.
    return (input_quarters * input_price // 4 + output_tokens * output_price) // 1000


def content_call(rng: random.Random, cast: Cast) -> Fields:
    """System A: an AI call for a user, with a cost in dollars and roubles where the model has a price."""
    person = cast.content_people.pick(rng)
    route = cast.content_routes.pick(rng)
    model = IMAGE_MODEL if route.path.startswith("/api/v1/images") else cast.content_models.pick(rng)
    outcome = _outcome(rng, route)
    fields: Fields = {
        "organization_id": person.organization_id,
        "user_id": person.user_id,
        "user_name": person.user_name,
        "route": route.path,
        "method": route.method,
        **outcome,
        "provider": model.provider,
        "model": model.name,
        "agent_id": _AGENTS.pick(rng),
        "workflow_id": rng.choice(_WORKFLOWS),
        "content_id": f"content-{rng.getrandbits(20)}",
        "request_id": f"req_{_hex(rng, 16)}",
        "platform": _CONTENT_PLATFORMS.pick(rng),
        "content_type": "image" if model is IMAGE_MODEL else _CONTENT_TYPES.pick(rng),
        "task_type": "illustrate" if model is IMAGE_MODEL else _TASK_TYPES.pick(rng),
        "labels": {"tier": _TIERS.pick(rng)},
    }
    if outcome["status"] >= 400:
        fields["cost_usd"] = fields["cost_rub"] = "0"
        return fields
    tokens = _model_tokens(rng, model)
    fields |= tokens
    if model.prices is not None:
        dollars = _dollar_cost(model.prices, tokens)
        fields["cost_usd"] = _money(dollars)
        fields["cost_rub"] = _money(dollars * _RUB_PER_USD_IN_CENTS // 100)
    fields["request_metadata"] = {"temperature": rng.choice((0.2, 0.7, 1.0)), "stream": rng.random() < 0.5}
    fields["response_metadata"] = {"finish_reason": "stop" if rng.random() < 0.96 else "length"}
    return fields


def bot_call(rng: random.Random, cast: Cast) -> Fields:
    """System B: an API call of a bot; only AI replies carry tokens, and only some of them a cost."""
    person = cast.bot_people.pick(rng)
    route = cast.bot_routes.pick(rng)
    outcome = _outcome(rng, route)
    fields: Fields = {
        "organization_id": person.organization_id,
        "user_id": person.user_id,
        "route": route.path,
        "method": route.method,
        **outcome,
        "request_id": _hex(rng, 32),
        "ip_address": _address(rng),
    }
    if route.path == "/api/v1/ai/reply" and outcome["status"] < 400:
        fields["total_tokens"] = int(_around(rng, 780, 0.5))
        if rng.random() < 0.6:
            fields["cost"] = {"amount": _money(fields["total_tokens"] * 1_500), "currency": "USD"}
    return fields


def generator_call(rng: random.Random, cast: Cast) -> Fields:
    """System C: a GigaChat call; where the provider reported no tokens, the texts' lengths are given."""
    operation = _OPERATIONS.pick(rng)
    access = _TOKEN_TYPES.pick(rng)
    model = cast.generator_models.pick(rng)
    person = cast.generator_people.pick(rng)
    fields: Fields = {
        "organization_id": person.organization_id,
        "operation": operation,
        "provider": model.provider,
        "model": model.name,
        "token_type": access,
        "topic": _TOPICS.pick(rng),
        "platform": _GENERATOR_PLATFORMS.pick(rng),
        "response_time_ms": round(_around(rng, _OPERATION_MEDIAN_MS[operation], 0.5), 1),
    }
    if access != "guest":  # a guest's call is known by its access token only
        fields["user_id"] = person.user_id
        fields["user_name"] = person.user_name
    if rng.random() < _OPERATION_ERROR_RATE[operation]:
        fields["status"], fields["error_type"], fields["error_message"] = (
            500,
            "generation_failed",
            "Генерация не удалась",
        )
        fields["cost"] = {"amount": "0", "currency": "RUB"}
        return fields
    fields["status"] = 200
    tokens = _model_tokens(rng, model)
    if rng.random() < 0.25:
        fields["input_text_length"] = int(tokens["input_tokens"] * _CHARACTERS_PER_TOKEN)
        fields["output_text_length"] = int(tokens["output_tokens"] * _CHARACTERS_PER_TOKEN)
        return fields
    fields |= tokens
    total = tokens["input_tokens"] + tokens["output_tokens"]
    fields["cost"] = {"amount": _money(total * _GENERATOR_NANO_RUB_PER_TOKEN), "currency": "RUB"}
    return fields
