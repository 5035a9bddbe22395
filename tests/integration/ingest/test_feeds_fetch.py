"""What a hostile server can do to whoever fetches from it: nothing."""

import gzip
import time
from typing import Any

import pytest

from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.outgoing import Allowed, FetchError, Gate


def own(web: Any, **more: Any) -> Fetcher:
    """A fetcher that may ask the test's own server."""
    return Fetcher(Gate(Allowed.of([f"127.0.0.1:{web.port}"])), **more)


async def refused(url: str, fetcher: Fetcher) -> str:
    with pytest.raises(FetchError) as error:
        await fetcher.get(url)
    return error.value.code


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "0",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ],
)
async def test_this_machine_is_not_fetched_from_however_it_is_written(host: str, web: Any) -> None:
    assert await refused(f"http://{host}:{web.port}/", Fetcher(Gate(Allowed()))) == "not_public"
    assert web.asked == []


async def test_an_allowed_host_is_fetched_from_under_its_own_name(web: Any, reply: Any) -> None:
    web.at("/feed", reply(body=b"hello", headers={"ETag": '"é1"'}))
    fetched = await Fetcher(Gate(Allowed.of([f"localhost:{web.port}"]))).get(
        f"http://localhost:{web.port}/feed?x=1", {"If-None-Match": '"0"'}
    )
    assert (fetched.status, fetched.body, fetched.headers["etag"]) == (200, b"hello", '"é1"')
    (request,) = web.asked
    assert request.path == "/feed?x=1"
    assert request.headers["host"] == f"localhost:{web.port}"
    assert request.headers["if-none-match"] == '"0"'


async def test_the_environments_proxy_is_not_used(
    web: Any, reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await own(web).get(web.at("/feed", reply(body=b"x")))).body == b"x"


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "not_public"),
        ("http://[fd00:ec2::254]/", "not_public"),
        ("http://2130706434/", "not_public"),
        ("file:///etc/passwd", "bad_address"),
        ("http://1.1.1.1:22/", "port_not_allowed"),
        ("/again", "too_many_redirects"),
    ],
)
async def test_each_redirect_is_checked_like_the_first_address(
    web: Any, reply: Any, location: str, code: str
) -> None:
    away = reply(status=302, headers={"Location": location})
    web.at("/again", away)
    assert await refused(web.at("/feed", away), own(web)) == code
    assert len(web.asked) <= 4


async def test_a_token_stays_behind_where_a_redirect_leads_to_another_host(
    web: Any, reply: Any
) -> None:
    web.at("/there", reply(body=b"x"))
    elsewhere = web.url("/there").replace("127.0.0.1", "localhost")
    away = web.at("/away", reply(status=302, headers={"Location": elsewhere}))
    here = web.at("/here", reply(status=302, headers={"Location": "/there"}))
    fetcher = Fetcher(Gate(Allowed.of([f"127.0.0.1:{web.port}", f"localhost:{web.port}"])))
    for url, is_shown in ((away, False), (here, True)):
        await fetcher.get(url, {"Authorization": "Bearer hush"})
        assert ("authorization" in web.asked[-1].headers) is is_shown


async def test_only_a_permanent_redirect_moves_the_feed(web: Any, reply: Any) -> None:
    web.at("/new", reply(body=b"x"))
    web.at("/now", reply(status=302, headers={"Location": "/new"}))
    moved = web.at("/moved", reply(status=301, headers={"Location": "/now"}))
    lent = web.at("/lent", reply(status=302, headers={"Location": "/moved"}))
    assert (await own(web).get(moved)).moved_to == web.url("/now")
    assert (await own(web).get(lent)).moved_to is None


async def test_a_server_that_dribbles_is_left(web: Any, reply: Any) -> None:
    slow = web.at("/slow", reply(body=b"x" * 1000, seconds_between_bytes=0.05))
    begun = time.monotonic()
    assert await refused(slow, own(web, max_seconds=0.5)) == "too_slow"
    assert time.monotonic() - begun < 2


async def test_a_bomb_is_refused(web: Any, reply: Any) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    url = web.at("/bomb", reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    assert await refused(url, own(web)) == "too_large"


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    fetcher = Fetcher(Gate(Allowed.of(["127.0.0.1:9"])))
    assert await refused("http://127.0.0.1:9/", fetcher) == "unreachable"
    assert await refused("http://no-such-host.invalid/", fetcher) == "unreachable"
