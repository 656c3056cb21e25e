"""One address for all functions on a laptop: what a load balancer is in production.

A process of its own: `python -m tally.local.gateway --port 8080 ingest=http://127.0.0.1:8081 …`. Requests and
answers are streamed through unchanged; judging them is the functions' business.
"""

import argparse
import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Mapping

import aiohttp
import orjson
import uvloop
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from tally.local.ports import HOST
from tally.routes import function_for

LARGEST_BODY = 16 * 1024 * 1024
REQUEST_ID = "X-Request-Id"

_RETRY_AFTER_SECONDS = 1
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 120.0
_STOP_SECONDS = 5.0
_LINGER_SECONDS = 2.0  # for the rest of a body that was refused, so that its sender sees why
# Shorter than the 2 s for which the functions keep an idle connection: a request sent on one that is being
# closed is lost, and a POST must not be sent twice on suspicion.
_IDLE_SECONDS = 1.0
_LONGEST_LINE = 65536
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class _Body:
    """A request's body as it comes in, broken off when it grows past `LARGEST_BODY`."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content
        self.passed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._content.iter_any():
            self.passed += len(chunk)
            if self.passed > LARGEST_BODY:
                raise aiohttp.ClientPayloadError("the body is too large")
            yield chunk


class Gateway:
    """Passes each request to the function that its path names.

    Args:
        upstreams: Base URL by function.
    """

    def __init__(self, upstreams: Mapping[str, str], session: aiohttp.ClientSession) -> None:
        self._upstreams = upstreams
        self._session = session

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, with a problem where its function cannot."""
        function = function_for(request.path)
        if function is None or function not in self._upstreams:
            return _problem(404, "Not found", f"There is nothing at {request.path}")
        if (request.content_length or 0) > LARGEST_BODY:
            return _too_large()
        url = URL(self._upstreams[function] + request.raw_path, encoded=True)
        body = _Body(request.content) if request.can_read_body else None
        answer = None
        try:
            headers = _forwarded(request)
            async with self._session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as upstream:
                answer = web.StreamResponse(status=upstream.status, reason=upstream.reason)
                answer.headers.extend(_end_to_end(upstream.headers))
                answer.headers.setdefault(REQUEST_ID, headers[REQUEST_ID])
                await answer.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await answer.write(chunk)
                await answer.write_eof()
                return answer
        except TimeoutError:
            failed = _problem(504, "Gateway timeout", f"{function} did not answer in time")
        except aiohttp.ClientError:
            if body is not None and body.passed > LARGEST_BODY:
                return _too_large()
            failed = _problem(503, "Service unavailable", f"{function} cannot be reached; try again")
            failed.headers[hdrs.RETRY_AFTER] = str(_RETRY_AFTER_SECONDS)
        if answer is not None and answer.prepared:
            # Half an answer is out: only a broken connection tells the client that it is not whole.
            if request.transport is not None:
                request.transport.abort()
            return answer
        return failed


def client_session() -> aiohttp.ClientSession:
    """The session towards the functions: nothing added, nothing decoded, nothing remembered."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS),
        auto_decompress=False,
        skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT),
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
    )


def server(gateway: Gateway) -> web.Server:
    """The server towards the clients."""
    return web.Server(
        gateway.handle,
        auto_decompress=False,
        lingering_time=_LINGER_SECONDS,
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
    )


async def serve(port: int, upstreams: Mapping[str, str]) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT, then finish the requests in flight."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with client_session() as session:
        runner = web.ServerRunner(server(Gateway(upstreams, session)), shutdown_timeout=_STOP_SECONDS)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        await stop.wait()
        await runner.cleanup()


def _forwarded(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = _end_to_end(request.headers)
    headers.setdefault(REQUEST_ID, str(uuid.uuid4()))
    so_far = request.headers.getall(hdrs.X_FORWARDED_FOR, [])
    headers[hdrs.X_FORWARDED_FOR] = ", ".join([*so_far, request.remote or HOST])
    headers[hdrs.X_FORWARDED_PROTO] = "http"
    return headers


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Headers without those that are about one connection only (RFC 9110, 7.6.1)."""
    named = {name.strip().lower() for name in headers.get(hdrs.CONNECTION, "").split(",")}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        if name.lower() not in _HOP_BY_HOP and name.lower() not in named:
            kept.add(name, value)
    return kept


def _problem(status: int, title: str, detail: str) -> web.Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/problem+json")


def _too_large() -> web.Response:
    return _problem(413, "Content too large", f"A body may have at most {LARGEST_BODY} bytes")


def _upstream(text: str) -> tuple[str, str]:
    function, separator, url = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"expected FUNCTION=URL, not {text!r}")
    return function, url


def main() -> None:
    """Run the gateway with the ports of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tally.local.gateway", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("upstreams", nargs="+", type=_upstream, metavar="FUNCTION=URL")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, dict(arguments.upstreams)))


if __name__ == "__main__":
    main()
