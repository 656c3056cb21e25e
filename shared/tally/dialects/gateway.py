"""System D, the API gateway: `POST /api/usage-log`, one call a request, without an id of its own."""

from collections.abc import Mapping

from tally import jsontext
from tally.errors import Malformed


def read(body: bytes, headers: Mapping[str, str]) -> dict[str, object]:
    """The call that the gateway logs; its id is the field `id`, else the header `Idempotency-Key`.

    Raises:
        Malformed: not a JSON object.
    """
    call = jsontext.parse(body)
    if not isinstance(call, dict):
        raise Malformed("Expected one JSON object, the call to log.")
    key = headers.get("idempotency-key")
    return {**call, "id": key} if key and call.get("id") is None else call
