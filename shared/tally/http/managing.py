"""How endpoints manage things: who may, one transaction a request, bodies read exactly and checked in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from tally import jsontext
from tally.clock import Clock
from tally.database import Store
from tally.errors import FieldError, Unprocessable, UnsupportedMediaType
from tally.http.auth import Authenticator
from tally.http.body import read_body
from tally.principal import Principal
from tally.schema import SchemaGuard

Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=BaseModel)
_MAX_BODY_BYTES = 1024 * 1024
_JSON = "application/json"
_MOST_TOLD = 20  # faults in the sentence; all are in the list


@dataclass(frozen=True, slots=True)
class Managing:
    """What the endpoints of one application share.

    Attributes:
        private_webhooks: whether webhooks may be http, and at addresses of private networks.
    """

    store: Store
    guard: SchemaGuard
    clock: Clock
    authenticator: Authenticator
    private_webhooks: bool = False

    def serve(self, app: FastAPI) -> None:
        """Makes this what the endpoints of `app` manage with."""
        app.state.managing = self


@dataclass(frozen=True, slots=True)
class Act:
    """One request's work: an open transaction, who asks, the database's time (UTC), and as `Managing`."""

    connection: Connection
    principal: Principal
    now: datetime
    private_webhooks: bool


@dataclass(frozen=True, slots=True)
class Manage:
    """Works for one request: `await manage(work)`, where `work` makes the answer from an `Act`."""

    managing: Managing
    principal: Principal

    async def __call__(self, work: Callable[[Act], Answer]) -> Answer:
        """The answer of `work`, committed. It runs in a thread; what it raises rolls everything back."""
        return await run_in_threadpool(self._work, work)

    async def alone(self, work: Callable[[Store], Answer]) -> Answer:
        """The answer of `work`, which has transactions of its own. It runs in a thread."""
        return await run_in_threadpool(self._alone, work)

    def _alone(self, work: Callable[[Store], Answer]) -> Answer:
        self.managing.guard.check()
        return work(self.managing.store)

    def _work(self, work: Callable[[Act], Answer]) -> Answer:
        self.managing.guard.check()
        now = self.managing.clock.now()
        with self.managing.store.transaction() as connection:
            return work(Act(connection, self.principal, now, self.managing.private_webhooks))


async def _manager(request: Request) -> Manage:
    managing: Managing = request.app.state.managing
    return Manage(managing, await managing.authenticator.authenticate(request, "admin"))


async def _reader(request: Request) -> Manage:
    managing: Managing = request.app.state.managing
    return Manage(managing, await managing.authenticator.authenticate(request, "read"))


# Dependencies of endpoints: the caller may manage everything; the caller may read (its own, which the work decides).
Manager = Annotated[Manage, Depends(_manager)]
Reader = Annotated[Manage, Depends(_reader)]


class Body(BaseModel):
    """A body of JSON. An unknown field is refused."""

    model_config = ConfigDict(extra="forbid")


async def read_model(request: Request, model: type[Model]) -> Model:
    """The body of a request as `model`; its numbers are exact.

    Raises:
        UnsupportedMediaType: it is not said to be JSON.
        PayloadTooLarge, Malformed: as `read_body` and `jsontext.parse`.
        Unprocessable: names every field that is at fault, and the nearest known name for a misspelt one.
    """
    return checked(model, await read_json(request))


async def read_json(request: Request) -> Any:
    """The value of a request's body; its numbers are exact.

    Raises:
        UnsupportedMediaType: it is not said to be JSON.
        PayloadTooLarge, Malformed: as `read_body` and `jsontext.parse`.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise UnsupportedMediaType(f"Send the body as Content-Type: {_JSON}.")
    return jsontext.parse(await read_body(request, _MAX_BODY_BYTES))


def checked(model: type[Model], value: object, context: Mapping[str, Any] | None = None) -> Model:
    """`value` (parsed JSON) as `model`, whose validators may look at `context`.

    Raises:
        Unprocessable: as `read_model`.
    """
    made, faults = _checked(model, value, context)
    if made is None:
        raise _refused(faults)
    return made


def checked_list(model: type[Model], values: Sequence[object], context: Mapping[str, Any] | None = None) -> list[Model]:
    """Each of `values` as `checked` has it.

    Raises:
        Unprocessable: there is none, or names every field at fault of each that is; faults carry its `index`, from 0.
    """
    if not values:
        raise _refused([{"field": "", "message": "the list is empty"}])
    made: list[Model] = []
    faults: list[FieldError] = []
    for index, value in enumerate(values):
        one, faults_of_one = _checked(model, value, context)
        if one is not None:
            made.append(one)
        faults += [{"index": index, **fault} for fault in faults_of_one]
    if faults:
        raise _refused(faults)
    return made


def _checked(
    model: type[Model], value: object, context: Mapping[str, Any] | None
) -> tuple[Model | None, list[FieldError]]:
    where = jsontext.nul_in(value)
    if where is not None:
        return None, [{"field": where, "message": "has a NUL character"}]
    try:
        return model.model_validate(value, context=context), []
    except ValidationError as error:
        return None, [_fault(model, fault) for fault in error.errors(include_url=False)]


def refused(field: str, message: str, value: object = None) -> Unprocessable:
    """The 422 for one field that does not fit the others, or what is there already."""
    return _refused([_with_value({"field": field, "message": message}, value)])


def body_of(model: type[BaseModel], example: Mapping[str, Any], *, or_list: bool = False) -> dict[str, Any]:
    """`openapi_extra` of an endpoint that reads `model`, or else a list of them."""
    schema = model.model_json_schema()
    schema = _inlined(schema, schema.pop("$defs", {}))
    if or_list:
        schema = {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}
    return {"requestBody": {"required": True, "content": {_JSON: {"schema": schema, "example": dict(example)}}}}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema in one piece: what it refers to is put where it does."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if reference is not None:
        described = {name: part for name, part in schema.items() if name != "$ref"}
        return _inlined({**definitions[reference.rpartition("/")[2]], **described}, definitions)
    return {name: _inlined(part, definitions) for name, part in schema.items()}


def _refused(faults: list[FieldError]) -> Unprocessable:
    told = "; ".join(_told(fault) for fault in faults[:_MOST_TOLD])
    if len(faults) > _MOST_TOLD:
        told += f"; and {len(faults) - _MOST_TOLD} more"
    return Unprocessable(f"Nothing was changed. {told}.", faults)


def _told(fault: FieldError) -> str:
    where = f"{fault['index']}." if "index" in fault else ""
    return f"{where}{fault['field'] or 'body'}: {fault['message']}"


def _fault(model: type[BaseModel], fault: Any) -> FieldError:
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        near = get_close_matches(field, model.model_fields, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(model.model_fields)}"
        return {"field": field[:200], "message": f"is not a field here{hint}"}
    message = "is missing" if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, ")
    return _with_value({"field": field, "message": message}, None if fault["type"] == "missing" else fault["input"])


def _with_value(fault: FieldError, value: object) -> FieldError:
    """`fault` with the value given, cut short; what is no scalar is not shown."""
    if value is not None and not isinstance(value, (dict, list)):
        fault["value"] = str(value)[:100]
    return fault
