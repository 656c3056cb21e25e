"""Who and what the sample data is about: the people, tokens, routes and models of the four sample systems.

Everything here depends on the seed alone, so that the same names come back whatever the
period or the number of events.
"""

import hashlib
import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Weighted(Generic[Item]):
    """A choice among items of unequal weight, as cheap as one binary search."""

    def __init__(self, items: Sequence[Item], weights: Sequence[float]) -> None:
        if not items or len(items) != len(weights):
            raise ValueError(f"expected as many weights as items and at least one, got {len(items)} and {len(weights)}")
        self.items = tuple(items)
        self._bounds = list(accumulate(weights))

    def pick(self, rng: random.Random) -> Item:
        """Draw one item."""
        # The product can round up to the last bound itself, hence the limit.
        return self.items[bisect(self._bounds, rng.random() * self._bounds[-1], hi=len(self.items) - 1)]


def zipf(items: Sequence[Item], exponent: float = 1.0) -> Weighted[Item]:
    """Few heavy and many light ones, the first item the heaviest."""
    return Weighted(items, [1 / rank**exponent for rank in range(1, len(items) + 1)])


class SampleToken(NamedTuple):
    """An API token of the gateway: what has to be registered for its name to show beside its calls."""

    token_hash: str
    name: str
    team_id: str


class Person(NamedTuple):
    """A user of one organization, with a name where the system knows it."""

    user_id: str
    user_name: str | None
    organization_id: str


class Route(NamedTuple):
    """A called path; `median_ms` and `spread` are the median and sigma of its log-normal response time."""

    path: str
    method: str
    median_ms: float
    spread: float
    error_rate: float


class Model(NamedTuple):
    """An AI model; `prices` are micro-dollars per million input and output tokens, None where unknown."""

    provider: str
    name: str
    median_input: int
    median_output: int
    cached_share: float
    reasoning_share: float
    prices: tuple[int, int] | None


@dataclass(frozen=True)
class Cast:
    """Everybody and everything that takes part, each ready to be drawn by weight."""

    tokens: tuple[SampleToken, ...]
    gateway_tokens: Weighted[SampleToken]
    gateway_routes: Weighted[Route]
    content_people: Weighted[Person]
    content_routes: Weighted[Route]
    content_models: Weighted[Model]
    bot_people: Weighted[Person]
    bot_routes: Weighted[Route]
    generator_people: Weighted[Person]
    generator_models: Weighted[Model]


GATEWAY_ORGANIZATION = "org-gateway"
CONTENT_ORGANIZATION = "org-content"
GENERATOR_ORGANIZATION = "org-studio"
BOT_ORGANIZATIONS = ("org-shopbots", "org-helpdesk", "org-languages")

_TEAMS = {
    "team-payments": (
        "checkout-backend",
        "invoice-worker",
        "refund-bot",
        "payments-nightly",
        "fraud-scoring",
    ),
    "team-mobile": ("ios-app", "android-app", "push-sender", "mobile-staging", "voice-notes"),
    "team-search": ("search-indexer", "query-rewriter", "semantic-search", "relevance-lab", "autocomplete"),
    "team-data": ("etl-hourly", "warehouse-sync", "notebook-shared", "feature-store", "report-builder"),
    "team-support": (
        "helpdesk-assistant",
        "ticket-router",
        "faq-updater",
        "call-summaries",
        "satisfaction-survey",
    ),
    "team-platform": ("ci-pipeline", "uptime-probe", "log-archiver", "secrets-rotator", "partner-sandbox"),
}

_GATEWAY_ROUTES = (
    Route("/openai/v1/chat/completions", "POST", 900, 0.7, 0.021),
    Route("/openai/v1/embeddings", "POST", 120, 0.5, 0.008),
    Route("/openai/v1/responses", "POST", 1400, 0.8, 0.026),
    Route("/anthropic/v1/messages", "POST", 1100, 0.7, 0.018),
    Route("/aws/s3/objects", "GET", 45, 0.6, 0.012),
    Route("/aws/s3/objects", "PUT", 80, 0.7, 0.015),
    Route("/aws/sqs/messages", "POST", 30, 0.4, 0.006),
    Route("/aws/dynamodb/items", "POST", 22, 0.4, 0.009),
    Route("/aws/lambda/invocations", "POST", 240, 0.9, 0.034),
    Route("/aws/bedrock/converse", "POST", 1300, 0.7, 0.029),
    Route("/google/maps/geocode", "GET", 95, 0.4, 0.017),
    Route("/google/translate/v3", "POST", 140, 0.4, 0.007),
    Route("/google/vision/annotate", "POST", 420, 0.6, 0.022),
    Route("/stripe/v1/charges", "POST", 310, 0.5, 0.045),
    Route("/stripe/v1/refunds", "POST", 280, 0.5, 0.031),
    Route("/twilio/messages", "POST", 190, 0.5, 0.052),
    Route("/sendgrid/mail/send", "POST", 110, 0.5, 0.019),
    Route("/github/repos", "GET", 160, 0.5, 0.013),
    Route("/slack/chat.postMessage", "POST", 130, 0.5, 0.011),
    Route("/elastic/_search", "POST", 35, 0.8, 0.010),
    Route("/weather/v2/forecast", "GET", 210, 0.6, 0.088),
    Route("/internal/pricing/quote", "POST", 18, 0.4, 0.004),
    Route("/internal/users/profile", "GET", 12, 0.5, 0.020),
    Route("/legacy/soap/orders", "POST", 2200, 0.9, 0.140),
)

_CONTENT_ROUTES = (
    Route("/api/v1/content/generate", "POST", 4200, 0.6, 0.024),
    Route("/api/v1/content/rewrite", "POST", 2600, 0.6, 0.017),
    Route("/api/v1/content/plan", "POST", 6100, 0.5, 0.031),
    Route("/api/v1/agents/run", "POST", 7800, 0.7, 0.043),
    Route("/api/v1/content/hashtags", "POST", 1100, 0.5, 0.009),
    Route("/api/v1/images/generate", "POST", 11000, 0.4, 0.058),
)

_BOT_ROUTES = (
    Route("/api/v1/bots/messages", "POST", 140, 0.7, 0.013),
    Route("/api/v1/bots/updates", "GET", 25, 0.5, 0.004),
    Route("/api/v1/dialogs", "GET", 60, 0.6, 0.008),
    Route("/api/v1/dialogs/search", "POST", 230, 0.8, 0.027),
    Route("/api/v1/ai/reply", "POST", 1700, 0.6, 0.033),
    Route("/api/v1/broadcasts", "POST", 380, 0.7, 0.041),
    Route("/api/v1/subscribers", "GET", 75, 0.6, 0.006),
    Route("/api/v1/webhooks/test", "POST", 300, 1.0, 0.120),
)

_CONTENT_MODELS = (
    Model("openai", "gpt-4o", 1900, 620, 0.45, 0.0, (2_500_000, 10_000_000)),
    Model("openai", "gpt-4o-mini", 1500, 480, 0.40, 0.0, (150_000, 600_000)),
    Model("anthropic", "claude-3-5-sonnet-20241022", 2600, 740, 0.55, 0.0, (3_000_000, 15_000_000)),
    Model("openai", "gpt-4", 1200, 430, 0.0, 0.0, (30_000_000, 60_000_000)),
    Model("openai", "o3-mini", 1400, 2300, 0.30, 0.70, (1_100_000, 4_400_000)),
    Model("huggingface", "meta-llama/Llama-3.1-8B-Instruct", 1700, 510, 0.0, 0.0, None),
    Model("anthropic", "claude-3-haiku-20240307", 1300, 350, 0.35, 0.0, (250_000, 1_250_000)),
    Model("huggingface", "mistralai/Mistral-7B-Instruct-v0.3", 1100, 390, 0.0, 0.0, None),
)
IMAGE_MODEL = Model("openai", "dall-e-3", 90, 0, 0.0, 0.0, None)

# What system C pays: 1000 RUB for 5 million tokens, whatever the model; kept with the calls, not here.
_GENERATOR_MODELS = (
    Model("gigachat", "GigaChat", 420, 560, 0.0, 0.0, None),
    Model("gigachat", "GigaChat-Pro", 610, 830, 0.15, 0.0, None),
    Model("gigachat", "GigaChat-Max", 900, 1150, 0.20, 0.0, None),
)

_GIVEN_NAMES = {
    "": ("Александр", "Дмитрий", "Максим", "Сергей", "Андрей", "Илья", "Кирилл", "Никита", "Тимур", "Фёдор"),
    "а": ("Анна", "Мария", "Елена", "Дарья", "Алина", "Ольга", "Ксения", "Полина", "Татьяна", "Юлия"),
}
_SURNAMES = (
    "Иванов",
    "Смирнов",
    "Кузнецов",
    "Попов",
    "Соколов",
    "Лебедев",
    "Козлов",
    "Новиков",
    "Морозов",
    "Волков",
    "Соловьёв",
    "Васильев",
    "Зайцев",
    "Павлов",
    "Семёнов",
)


def _russian_names(rng: random.Random, count: int) -> list[str]:
    names = [
        f"{given} {surname}{ending}"
        for ending, given_names in _GIVEN_NAMES.items()
        for given in given_names
        for surname in _SURNAMES
    ]
    return rng.sample(names, count)


def _tokens(rng: random.Random) -> tuple[SampleToken, ...]:
    tokens = [
        SampleToken(hashlib.sha256(f"ntk_{rng.getrandbits(192):048x}".encode()).hexdigest(), name, team_id)
        for team_id, names in _TEAMS.items()
        for name in names
    ]
    rng.shuffle(tokens)
    return tuple(tokens)


def _shuffled(rng: random.Random, items: Sequence[Item]) -> list[Item]:
    return rng.sample(items, len(items))


@lru_cache(maxsize=8)
def cast(seed: int) -> Cast:
    """The cast for a seed: 200 users in 6 organizations, 30 tokens in 6 teams, about 40 routes."""
    rng = random.Random(f"tally sample cast {seed}")
    tokens = _tokens(rng)
    names = _russian_names(rng, 120)
    content = [Person(str(10_000 + n * 37), name, CONTENT_ORGANIZATION) for n, name in enumerate(names[:60])]
    generator = [Person(f"c-{100 + n}", name, GENERATOR_ORGANIZATION) for n, name in enumerate(names[60:])]
    bots = [
        Person(f"bot-{n:03d}", None, BOT_ORGANIZATIONS[min(n % 5, 3) % 3])  # one organization larger than the others
        for n in range(80)
    ]
    return Cast(
        tokens=tokens,
        gateway_tokens=zipf(tokens, 0.9),
        gateway_routes=zipf(_shuffled(rng, _GATEWAY_ROUTES), 0.8),
        content_people=zipf(content),
        content_routes=zipf(_CONTENT_ROUTES, 0.7),
        content_models=zipf(_CONTENT_MODELS, 0.8),
        bot_people=zipf(bots, 1.1),
        bot_routes=zipf(_BOT_ROUTES),
        generator_people=zipf(generator, 0.9),
        generator_models=zipf(_GENERATOR_MODELS, 1.2),
    )


def sample_tokens(seed: int) -> list[SampleToken]:
    """The gateway's tokens of a seed, for whoever loads the sample data to register under their names."""
    return list(cast(seed).tokens)
