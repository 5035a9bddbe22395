"""A link leads to one address, and a campaign's parameters break nothing of it."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from klankbord_ingest.links.address import MAX_ADDRESS, checked, joined

GIVEN = {"utm_source": "forum", "utm_campaign": "Spring & sale #1", "utm_medium": ""}


@pytest.mark.parametrize(
    ("address", "is_joined"),
    [
        ("https://e.org/", "https://e.org/?{}"),
        ("https://e.org/a?b=c", "https://e.org/a?b=c&{}"),
        ("https://e.org/a?b=c&", "https://e.org/a?b=c&{}"),
        ("https://e.org/a?", "https://e.org/a?{}"),
        ("https://e.org/a#part", "https://e.org/a?{}#part"),
        ("https://e.org/#/app?tab=2", "https://e.org/?{}#/app?tab=2"),
        ("https://e.org/?q=a+b%20c&&d=%C3%BC;e", "https://e.org/?q=a+b%20c&&d=%C3%BC;e&{}"),
    ],
)
def test_parameters_stand_after_the_query_and_before_the_fragment(
    address: str, is_joined: str
) -> None:
    told = "utm_source=forum&utm_campaign=Spring%20%26%20sale%20%231"
    assert joined(address, GIVEN) == is_joined.format(told)
    assert joined(address, {"utm_source": ""}) == address


def test_what_the_address_says_already_is_not_said_twice() -> None:
    with pytest.raises(ValueError, match="names utm_source already; take it out"):
        joined("https://e.org/?UTM_Source=x", GIVEN)


def test_an_address_has_an_end() -> None:
    longest = "https://e.org/" + "a" * (MAX_ADDRESS - 14)
    assert checked(longest) == longest
    with pytest.raises(ValueError, match="at most 2000"):
        checked(longest + "a")
    with pytest.raises(ValueError, match="at most 2000"):
        joined(longest, GIVEN)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "javascript://e.org/%0aalert(1)",
        "data:text/html,<script>",
        "vbscript://x",
        "file:///etc/passwd",
        "ftp://e.org/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https://e.org\\@evil.example/",
        "https://e.org@evil.example/",
        "https://user:pw@e.org/",
        "https://:pw@e.org/",
        "https://",
        "https:///path",
        "https://e.org/\r\nSet-Cookie: a=b",
        "https://e.org/\tx",
        "https://e.org/ x",
        "https://e.org/\x00",
        "https://e.org:99999/",
        "https://[::1/",
        "e.org/path",
        "",
    ],
)
def test_what_is_no_plain_address_of_the_web_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        checked(address)


@pytest.mark.parametrize(
    ("address", "read"),
    [
        ("HTTPS://E.ORG", "https://e.org/"),
        ("https://münchen.example/straße?q=ü#ß", "https://xn--mnchen-3ya.example/"),
        ("http://localhost:8080/x", "http://localhost:8080/x"),
        ("https://e.org/a/../b", "https://e.org/b"),
        ("https://e.org/%0d%0aSet-Cookie:%20a=b", "https://e.org/%0d%0aSet-Cookie:%20a=b"),
    ],
)
def test_an_address_is_read_as_a_browser_reads_it(address: str, read: str) -> None:
    assert checked(address).startswith(read)
    assert checked(address).isascii()


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_no_part_of_an_address_leads_elsewhere(path: str, query: str, fragment: str) -> None:
    try:
        address = checked(f"https://e.org/{path}?{query}#{fragment}")
    except ValueError:
        return
    assert address.isascii()
    assert address.isprintable()
    assert urlsplit(address).hostname == "e.org"
    assert checked(address) == address


@given(
    st.text(string := "abc=&%20+;/?", max_size=60),
    st.text(string + "#", max_size=30),
    st.text(min_size=1, max_size=60).filter(str.isprintable),
)
def test_joining_keeps_all_that_was_there(query: str, fragment: str, value: str) -> None:
    address = checked(f"https://e.org/a?{query}#{fragment}")
    assume("utm_" not in address)
    after = joined(address, {"utm_campaign": value})
    before, now = urlsplit(address), urlsplit(after)
    assert (now.scheme, now.netloc, now.path) == (before.scheme, before.netloc, before.path)
    assert now.fragment == before.fragment
    assert now.query.startswith(before.query)
    assert parse_qsl(now.query)[-1] == ("utm_campaign", value)
    assert parse_qsl(now.query)[:-1] == parse_qsl(before.query)
    assert checked(after) == after
