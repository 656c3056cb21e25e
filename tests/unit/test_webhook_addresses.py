"""A webhook cannot reach what only Tally can reach."""

import pytest

from tally.notifications.addresses import checked_url, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254",  # the metadata server of Google Cloud
        "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",  # translated to 127.0.0.1 and 169.254.169.254
        "2002:7f00:1::", "2002:a00:1::",  # 6to4 of 127.0.0.1 and 10.0.0.1
    ],
)  # fmt: skip
def test_what_is_not_everybodys_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_what_everybody_reaches_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook", "https://example.com:8443/hook?key=1", "https://xn--e1afmkfd.xn--p1ai/",
        "https://8.8.8.8/", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
        # Names are looked up when they are connected to, and so are these ways to write an address.
        "https://localhost/", "https://2130706433/", "https://0x7f.1/",
    ],
)  # fmt: skip
def test_a_url_of_a_public_place_is_as_given(url: str) -> None:
    assert checked_url(url, private=False) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "https"),
        ("file:///etc/passwd", "https"),
        ("gopher://example.com/", "https"),
        ("example.com/hook", "https"),
        ("//example.com/hook", "https"),
        ("", "https"),
        ("https://", "URL such as"),
        ("https:///hook", "URL such as"),
        ("https://exa mple.com/", "URL such as"),
        ("https://example.com/\r\nX: 1", "URL such as"),
        ("https://example.com:99999/", "URL such as"),
        ("https://example.com:x/", "URL such as"),
        ("https://[::1/", "URL such as"),
        ("https://me@example.com/", "without user name"),
        ("https://me:secret@example.com/", "without user name"),
        ("https://127.0.0.1/", "private network"),
        ("https://169.254.169.254/computeMetadata/v1/", "private network"),
        ("https://[::1]:8080/", "private network"),
        ("https://[::ffff:10.0.0.1]/", "private network"),
        ("https://[fe80::1%25eth0]/", "private network"),
        ("https://example.com/" + "x" * 2000, "at most 2000"),
    ],
)
def test_a_url_that_cannot_be_a_webhooks_is_refused_with_what_is_expected(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_url(url, private=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "http://receiver/", "https://[::1]/"])
def test_where_it_is_allowed_private_places_and_http_are_taken(url: str) -> None:
    assert checked_url(url, private=True) == url


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://me:secret@127.0.0.1/", "http://"])
def test_other_rules_hold_where_private_places_are_allowed(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        checked_url(url, private=True)
