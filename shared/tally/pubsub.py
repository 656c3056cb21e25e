"""Google Pub/Sub: publishing to a topic."""

from collections.abc import Mapping

from tally.errors import PublisherUnavailable

CONFIRM_SECONDS = 30.0


class PubSubPublisher:
    """Publishes to a Google Pub/Sub topic (`projects/…/topics/…`), or to the emulator of PUBSUB_EMULATOR_HOST."""

    def __init__(self, topic: str) -> None:
        # Imported here: it takes a second, which a function that does not publish need not wait for.
        from google.cloud.pubsub_v1 import PublisherClient
        from google.cloud.pubsub_v1.types import BatchSettings

        # Events were gathered into messages already; a message is sent at once.
        self._client = PublisherClient(BatchSettings(max_messages=1))
        self._topic = topic

    async def publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """See `tally.publisher.Publisher`."""
        import asyncio

        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        try:
            confirmed = self._client.publish(self._topic, data, timeout=CONFIRM_SECONDS, **attributes)
            await asyncio.wait_for(asyncio.wrap_future(confirmed), CONFIRM_SECONDS)
        except (GoogleAPIError, GoogleAuthError, TimeoutError) as error:
            raise PublisherUnavailable(f"Pub/Sub did not confirm: {error}") from error

    async def close(self) -> None:
        """See `tally.publisher.Publisher`."""
        self._client.stop()
