"""Examples of answers in the description of the endpoints."""

from typing import Any


def example(answer: Any) -> dict[int | str, dict[str, Any]]:
    """`responses` of an endpoint whose 200 looks like `answer`."""
    return {200: {"description": "The answer.", "content": {"application/json": {"example": answer}}}}
