"""Callers who see different parts of made-up events, and which of them are whose."""

from tally.principal import Principal
from tests.support.half_folded import EVERYBODY
from tests.support.oracle import Fact

_READ = frozenset({"read"})
CALLERS = {
    "everybody": EVERYBODY,
    "acme": Principal("t", "acme", _READ, organization_id="acme"),
    "anna of globex": Principal("t", "anna", _READ, organization_id="globex", user_id="anna"),
    "boris of nowhere": Principal("t", "boris", _READ, user_id="boris"),
    "unheard of": Principal("t", "unheard of", _READ, organization_id="unheard of"),
}


def is_own(fact: Fact, caller: Principal) -> bool:
    """Whether an event is one that the caller may see."""
    if caller is EVERYBODY:
        return True
    if caller.user_id is not None:
        return fact.user == (caller.organization_id or "", caller.user_id)
    return bool(fact.dimension("organization_id") == caller.organization_id)
