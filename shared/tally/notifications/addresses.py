"""Where a webhook may be: nobody who can make one may reach with it what only Tally can reach. Pure."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from yarl import URL

_MOST_CHARACTERS = 2000
# IPv6 addresses that a gateway turns into the IPv4 address in their last 32 bits (RFC 6052).
_TRANSLATED = IPv6Network("64:ff9b::/96")


def checked_url(url: str, *, private: bool) -> str:
    """`url` as a webhook's: https and, where the host is an address, a public one; http and any address if `private`.

    A host's name is not looked up here: what counts is the address that is connected to, see `is_public`.

    Raises:
        ValueError: it cannot be one; says what is expected.
    """
    if len(url) > _MOST_CHARACTERS:
        raise ValueError(f"expected at most {_MOST_CHARACTERS} characters")
    try:
        parsed = URL(url)
        host, _ = parsed.host, parsed.port
    except ValueError:
        raise ValueError("expected a URL such as https://example.com/hook") from None
    if parsed.scheme != "https" and not (private and parsed.scheme == "http"):
        raise ValueError("expected an https URL such as https://example.com/hook")
    if not host or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("expected a URL such as https://example.com/hook")
    if parsed.user is not None or parsed.password is not None:
        raise ValueError("expected a URL without user name and password; the signature says who sends")
    if not private and _is_address(host) and not is_public(host):
        raise ValueError("expected an address that everybody can reach, not one of a private network")
    return url


def is_public(address: str) -> bool:
    """Whether an IP address is one that anybody on the internet may connect to."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _TRANSLATED:
            inner = IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
    return found.is_global and not found.is_multicast and not found.is_reserved


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
