"""A stand-in for what cannot run here: Cloud SQL's administration and the TLS door of an instance.

Behind the door is the real Postgres of the tests, before it the real Cloud SQL Python Connector. What the stand-in
answers has the shape of https://docs.cloud.google.com/sql/docs/postgres/admin-api/rest/v1/connect: `connectSettings`
and `generateEphemeralCert`.
"""

import asyncio
import errno
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import NameOID
from google.auth.credentials import Credentials, Scoped

from tally.local.ports import HOST

INSTANCE = "example-project:europe-west1:tally"
_DOOR_SECONDS = 20
_DOOR_PORT = 3307  # of every instance; the connector knows no other
_LOGIN = "https://www.googleapis.com/auth/sqlservice.login"


class ServiceAccount(Credentials, Scoped):
    """Credentials of a service account, as its attached identity gives them on Cloud Run."""

    def __init__(self, scopes: list[str] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._scopes = scopes

    @property
    def requires_scopes(self) -> bool:
        return not self._scopes

    def with_scopes(self, scopes: list[str], default_scopes: list[str] | None = None) -> "ServiceAccount":  # noqa: ARG002
        return ServiceAccount(scopes)

    def refresh(self, request: Any) -> None:  # noqa: ARG002 - the base class's signature
        self.token = "login" if self._scopes == [_LOGIN] else "admin"
        self.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)


class CloudSql:
    """Serves both; `status` other than 200 makes the administration fail."""

    def __init__(self, socket: Path) -> None:
        self.status = 200
        self.private = True
        self._socket = socket
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._certificate = self._signed(self._key.public_key(), "authority")
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator["CloudSql"]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        stop = asyncio.run_coroutine_threadsafe(self._start(), loop).result()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _start(self) -> Any:
        application = web.Application()
        instance = "/sql/v1beta4/projects/example-project/instances/tally"
        application.router.add_get(f"{instance}/connectSettings", self._settings)
        application.router.add_post(f"{instance}:generateEphemeralCert", self._ephemeral)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        self.url = f"http://{HOST}:{runner.addresses[0][1]}"
        door = await self._open_door()

        async def stop() -> None:
            door.close()
            await runner.cleanup()

        return stop

    async def _open_door(self) -> asyncio.Server:
        """The port may still belong to a test that has just ended."""
        deadline = time.monotonic() + _DOOR_SECONDS
        while True:
            try:
                return await asyncio.start_server(self._pass, HOST, _DOOR_PORT, ssl=self._context())
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def _settings(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer admin"
        if self.status != 200:
            error = {"error": {"message": "boss::NOT_AUTHORIZED: Not authorized to access resource."}}
            return web.json_response(error, status=self.status)
        addresses = [{"type": "PRIVATE" if self.private else "PRIMARY", "ipAddress": HOST}]
        return web.json_response(
            {
                "region": "europe-west1",
                "databaseVersion": "POSTGRES_18",
                "ipAddresses": addresses,
                "serverCaCert": {"cert": _pem(self._certificate)},
            }
        )

    async def _ephemeral(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["access_token"] == "login"
        key = serialization.load_pem_public_key(asked["public_key"].encode())
        assert isinstance(key, rsa.RSAPublicKey)
        return web.json_response({"ephemeralCert": {"cert": _pem(self._signed(key, "client"))}})

    def _signed(self, key: CertificateIssuerPublicKeyTypes, name: str) -> x509.Certificate:
        now = datetime.now(UTC)
        building = x509.CertificateBuilder(_named("authority"), _named(name), key, x509.random_serial_number())
        building = building.not_valid_before(now - timedelta(minutes=1)).not_valid_after(now + timedelta(hours=1))
        authority = x509.BasicConstraints(ca=name == "authority", path_length=None)
        return building.add_extension(authority, critical=True).sign(self._key, hashes.SHA256())

    def _context(self) -> ssl.SSLContext:
        """Only who holds an ephemeral certificate comes in, with TLS 1.3."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=_pem(self._certificate))
        with tempfile.NamedTemporaryFile("w") as file:
            unencrypted = serialization.NoEncryption()
            pem = self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
            file.write(pem.decode() + _pem(self._certificate))
            file.flush()
            context.load_cert_chain(file.name)
        return context

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, outside = await asyncio.open_unix_connection(self._socket)
        await asyncio.gather(_copy(reader, outside), _copy(inside, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
