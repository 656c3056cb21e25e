"""How a notification goes out: to the log and to Pub/Sub topics. Webhooks have a module of their own."""

import asyncio
from typing import Protocol

from google.auth.exceptions import GoogleAuthError

from tally import jsontext
from tally.errors import PublisherUnavailable, TallyError
from tally.log import logger
from tally.notifications.outbox import Delivery
from tally.pubsub import PubSubPublisher


class NotTold(TallyError):
    """A notification was not taken; it is told again unless that `is_final`."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class Teller(Protocol):
    """Tells deliveries of one channel."""

    async def tell(self, delivery: Delivery) -> None:
        """Returns when the delivery was taken.

        Raises:
            NotTold: it was not, or nobody knows.
        """

    async def close(self) -> None:
        """Ends connections. It is not used afterwards."""


class LogChannel:
    """Writes a line to the log: the kind of notification in words, and its scalars."""

    def __init__(self, function: str) -> None:
        self._function = function

    async def tell(self, delivery: Delivery) -> None:
        """See `Teller`."""
        payload = jsontext.parse(delivery.payload.encode())
        scalars = {name: value for name, value in payload.items() if not isinstance(value, (dict, list))}
        message = delivery.kind.replace(".", " ")
        logger(self._function).warning(message, notification_id=delivery.notification_id, **scalars)

    async def close(self) -> None:
        """See `Teller`."""


class TopicChannel:
    """Publishes to Pub/Sub topics, with the attributes `id` and `type`."""

    def __init__(self) -> None:
        self._publishers: dict[str, PubSubPublisher] = {}
        self._making = asyncio.Lock()

    async def tell(self, delivery: Delivery) -> None:
        """See `Teller`."""
        attributes = {"id": delivery.notification_id, "type": delivery.kind}
        try:
            publisher = await self._publisher(delivery.target)
            await publisher.publish(delivery.body(), attributes)
        except (PublisherUnavailable, GoogleAuthError) as error:
            raise NotTold(str(error)) from error

    async def close(self) -> None:
        """See `Teller`."""
        for publisher in self._publishers.values():
            await publisher.close()

    async def _publisher(self, topic: str) -> PubSubPublisher:
        async with self._making:
            if topic not in self._publishers:
                self._publishers[topic] = await asyncio.to_thread(PubSubPublisher, topic)
            return self._publishers[topic]
