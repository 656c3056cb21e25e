"""Reading a request's body without ever holding more than it may have."""

from starlette.requests import Request

from tally.errors import PayloadTooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """The body as sent, at most `limit` bytes.

    Raises:
        PayloadTooLarge: as soon as the length announced or received is above `limit`.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> PayloadTooLarge:
    # The connection stays: the server drops what is still to come. Closed at once, it would be reset under clients
    # that send all before they read, and they would never see the answer.
    return PayloadTooLarge(f"The body is over {limit // 2**20} MB; send smaller batches.")
