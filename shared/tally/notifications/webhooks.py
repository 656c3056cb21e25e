"""Webhooks: where they are kept, and how they are posted to, signed as Standard Webhooks has it (version 1)."""

import base64
import errno
import secrets
import socket
from datetime import UTC, datetime
from typing import Any

import aiohttp
import uuid_utils
from sqlalchemy import Connection
from standardwebhooks import Webhook

from tally import __version__
from tally.database import statement
from tally.notifications.addresses import checked_url, is_public
from tally.notifications.channels import NotTold
from tally.notifications.outbox import Delivery

SECONDS = 10.0
# Of an answer only the status counts; no more of it is taken from the network than fits into this buffer (bytes).
_BUFFER = 4096


def new_secret() -> str:
    """`whsec_` and 256 random bits in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def add(connection: Connection, url: str, secret: str) -> str:
    """Stores a webhook; returns its id. `url` is one of `checked_url`."""
    webhook_id = str(uuid_utils.uuid7())
    connection.execute(statement("webhooks", "add"), {"id": webhook_id, "url": url, "secret": secret})
    return webhook_id


def move(connection: Connection, webhook_id: str, url: str) -> None:
    """Gives a webhook another URL. What is still to be told goes there."""
    connection.execute(statement("webhooks", "move"), {"id": webhook_id, "url": url})


def rotate(connection: Connection, webhook_id: str, secret: str) -> None:
    """Gives a webhook another secret. What is still to be told is signed with it."""
    connection.execute(statement("webhooks", "rotate"), {"id": webhook_id, "secret": secret})


def remove(connection: Connection, webhook_id: str) -> None:
    """Removes a webhook. What is still to be told to it is given up."""
    connection.execute(statement("webhooks", "remove"), {"id": webhook_id})


class WebhookChannel:
    """Posts to webhooks. To be made inside a running event loop.

    Args:
        private: whether http, and addresses of private networks, are allowed.
    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=self._socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"Tally/{__version__}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=SECONDS),
            read_bufsize=_BUFFER,
            auto_decompress=False,
        )

    async def tell(self, delivery: Delivery) -> None:
        """Posts a delivery; returns when the receiver has answered with a status from 200 to 299.

        Raises:
            NotTold: it has not.
        """
        if delivery.url is None or delivery.secret is None:
            raise NotTold("the webhook was removed", is_final=True)
        try:
            url = checked_url(delivery.url, private=self._private)
        except ValueError as error:
            raise NotTold(f"the URL is not allowed: {error}") from error
        body = delivery.body()
        headers = _signed(delivery, delivery.secret, body)
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
        except TimeoutError as error:
            raise NotTold(f"no answer within {SECONDS:.0f} s") from error
        except aiohttp.InvalidURL as error:  # whose text may be the whole URL, which may be a secret
            raise NotTold(f"the URL cannot be used: {error.description}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotTold(f"{type(error).__name__}: {error}") from error
        if 300 <= status < 400:
            raise NotTold(f"answered {status}; redirects are not followed")
        if not 200 <= status < 300:
            raise NotTold(f"answered {status}")

    async def close(self) -> None:
        """Ends connections."""
        await self._session.close()

    def _socket(self, address: Any) -> socket.socket:
        """A socket for an address that is about to be connected to, from a name or given as it is."""
        family, kind, protocol, _, [host, *_] = address
        if not self._private and not is_public(host):
            raise OSError(errno.EACCES, f"{host} is not a public address")
        return socket.socket(family, kind, protocol)


def _signed(delivery: Delivery, secret: str, body: bytes) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": delivery.notification_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery.notification_id, now, body.decode()),
    }
