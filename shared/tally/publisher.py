"""Where ingest puts events so that they are durable: Pub/Sub, or `record` itself where there is no Pub/Sub.

A publisher has two methods: `publish` returns when the message is durable, `close` gives back what it holds.
"""

import itertools
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from tally.errors import ConfigurationError, PublisherUnavailable
from tally.message import Message, wrap
from tally.pubsub import CONFIRM_SECONDS, PubSubPublisher
from tally.settings import Settings


class Publisher(Protocol):
    """Takes a message's data and attributes."""

    async def publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Returns when the message is durable.

        Raises:
            PublisherUnavailable: it was not confirmed; it may or may not be delivered later.
        """

    async def close(self) -> None:
        """Ends connections. The publisher is not used afterwards."""


class MemoryPublisher:
    """Keeps messages in a list: the twin for tests that look at what would be published."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Mapping[str, str]]] = []

    async def publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """See `Publisher`."""
        self.messages.append((data, attributes))

    async def close(self) -> None:
        """See `Publisher`."""
        self.messages.clear()


class EmbeddedPublisher:
    """Pushes to `record` as Pub/Sub would, and confirms only what it has stored."""

    def __init__(self, record_url: str) -> None:
        import aiohttp

        self._url = f"{record_url}/push"
        self._session = aiohttp.ClientSession(
            # record's server closes a connection that is idle for 2 seconds; never send on one that it may be closing.
            connector=aiohttp.TCPConnector(limit=16, keepalive_timeout=1),
            timeout=aiohttp.ClientTimeout(total=CONFIRM_SECONDS),
        )
        self._prefix = uuid.uuid4().hex
        self._count = itertools.count()

    async def publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """See `Publisher`."""
        import aiohttp

        message = Message(f"{self._prefix}-{next(self._count)}", datetime.now(UTC), attributes, data)
        try:
            async with self._session.post(
                self._url, data=wrap(message), headers={"Content-Type": "application/json"}
            ) as response:
                if response.status != 204:
                    reason = (await response.text())[:300]
                    raise PublisherUnavailable(f"record answered {response.status}: {reason}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PublisherUnavailable(f"record did not confirm: {type(error).__name__} {error}") from error

    async def close(self) -> None:
        """See `Publisher`."""
        await self._session.close()


def publisher(settings: Settings) -> Publisher:
    """The publisher that the settings ask for. To be called inside a running event loop.

    Raises:
        ConfigurationError: neither TALLY_TOPIC nor TALLY_RECORD_URL is set.
    """
    if settings.topic is not None:
        return PubSubPublisher(settings.topic)
    if settings.record_url is not None:
        return EmbeddedPublisher(settings.record_url)
    raise ConfigurationError("Nowhere to publish to: set TALLY_TOPIC, or TALLY_RECORD_URL for a small set-up.")
