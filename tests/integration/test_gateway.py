"""The gateway passes requests and answers through unchanged, and says so where a function is away."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tally.local.gateway import LARGEST_BODY, Gateway, client_session, server
from tally.local.ports import HOST, free_port

Scenario = Callable[[aiohttp.ClientSession], Awaitable[None]]


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    """An upstream that tells what reached it; some paths misbehave."""
    if request.path == "/v1/cut":
        answer = web.StreamResponse(headers={"Content-Length": "10"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer
    body = await request.content.read()  # without the limit of request.read()
    told = {
        "path": request.raw_path,
        "method": request.method,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return web.json_response(told, status=207, headers={"X-Upstream": "yes"})


@asynccontextmanager
async def served(handler: Any, port: int) -> AsyncIterator[None]:
    listening = web.Server(handler, auto_decompress=False) if handler is echo else server(handler)
    runner = web.ServerRunner(listening)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def play(scenario: Scenario) -> None:
    """Run `scenario` with a client of a gateway whose `query` answers and whose `ingest` is away."""

    async def run() -> None:
        upstream, gateway = free_port(), free_port()
        upstreams = {"query": f"http://{HOST}:{upstream}", "ingest": f"http://{HOST}:{free_port()}"}
        async with (
            client_session() as session,
            served(echo, upstream),
            served(Gateway(upstreams, session), gateway),
            aiohttp.ClientSession(f"http://{HOST}:{gateway}", auto_decompress=False) as client,
        ):
            await scenario(client)

    asyncio.run(run())


async def told(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(await answer.read())
    return content


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("size", [0, 1, 100_000, LARGEST_BODY])
def test_a_body_passes_through_unchanged(size: int, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, size, 65536):
            yield body[start : start + 65536]

    async def scenario(client: aiohttp.ClientSession) -> None:
        async with client.post("/v1/limits", data=chunks() if chunked else body) as answer:
            assert (await told(answer))["sha256"] == hashlib.sha256(body).hexdigest()

    play(scenario)


def test_a_compressed_body_stays_compressed() -> None:
    async def scenario(client: aiohttp.ClientSession) -> None:
        headers = {"Content-Encoding": "gzip"}
        async with client.post("/v1/usage", data=b"not really gzip", headers=headers) as answer:
            received = await told(answer)
            assert received["sha256"] == hashlib.sha256(b"not really gzip").hexdigest()
            assert received["headers"]["content-encoding"] == "gzip"

    play(scenario)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_above_the_limit_is_refused(chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(LARGEST_BODY // 65536 + 1):
            yield bytes(65536)

    async def scenario(client: aiohttp.ClientSession) -> None:
        body = chunks() if chunked else bytes(LARGEST_BODY + 1)
        async with client.post("/v1/usage", data=body) as answer:
            assert answer.status == 413
            assert answer.content_type == "application/problem+json"

    play(scenario)


def test_path_query_method_status_and_headers_pass_through_unchanged() -> None:
    async def scenario(client: aiohttp.ClientSession) -> None:
        from yarl import URL

        path = "/v1/usage/a%2Fb?x=%20y&z=a,b+c&q=%D0%96"
        async with client.patch(URL(path, encoded=True), headers={"X-Api-Key": "key"}) as answer:
            received = await told(answer)
            assert (received["path"], received["method"]) == (path, "PATCH")
            assert received["headers"]["x-api-key"] == "key"
            assert (answer.status, answer.headers["X-Upstream"]) == (207, "yes")

    play(scenario)


def test_nothing_is_added_that_a_function_would_judge() -> None:
    async def scenario(client: aiohttp.ClientSession) -> None:
        automatic = ("Content-Type", "Accept", "Accept-Encoding", "User-Agent")
        async with client.post("/v1/usage", data=b"x", skip_auto_headers=automatic) as answer:
            received = (await told(answer))["headers"]
            assert not {name.lower() for name in automatic} & set(received)

    play(scenario)


def test_a_request_id_is_kept_or_made_and_answered() -> None:
    async def scenario(client: aiohttp.ClientSession) -> None:
        async with client.get("/v1/usage", headers={"X-Request-Id": "mine"}) as answer:
            assert (await told(answer))["headers"]["x-request-id"] == "mine"
            assert answer.headers["X-Request-Id"] == "mine"
        async with client.get("/v1/usage") as answer:
            assert (await told(answer))["headers"]["x-request-id"] == answer.headers["X-Request-Id"]

    play(scenario)


def test_the_callers_address_is_added_to_those_before() -> None:
    async def scenario(client: aiohttp.ClientSession) -> None:
        async with client.get("/v1/usage", headers={"X-Forwarded-For": "192.0.2.7"}) as answer:
            assert (await told(answer))["headers"]["x-forwarded-for"] == f"192.0.2.7, {HOST}"

    play(scenario)


def test_a_function_that_is_away_is_a_503_that_says_when_to_come_again() -> None:
    async def scenario(client: aiohttp.ClientSession) -> None:
        async with client.post("/v1/events", data=b"{}") as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.content_type == "application/problem+json"
            assert (await told(answer))["status"] == 503

    play(scenario)


def test_half_an_answer_is_not_passed_off_as_a_whole_one() -> None:
    async def scenario(client: aiohttp.ClientSession) -> None:
        with pytest.raises(aiohttp.ClientError):
            async with client.get("/v1/cut") as answer:
                await answer.read()

    play(scenario)


@pytest.mark.parametrize("path", ["/push", "/", "/v2/usage"])
def test_a_path_of_no_function_is_a_404(path: str) -> None:
    async def scenario(client: aiohttp.ClientSession) -> None:
        async with client.post(path) as answer:
            assert answer.status == 404
            assert answer.content_type == "application/problem+json"

    play(scenario)
