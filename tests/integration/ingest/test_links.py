"""Short links on a real PostgreSQL and a real NATS: where they lead, and who is counted once."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import pytest
from integration.ingest.test_door import CONFIG, OPERATOR_TOKEN, Door, settings_of
from world import Migrated, eventually

from klankbord_ingest import api
from klankbord_ingest.app import create
from klankbord_ingest.kinds.plausible import Plausible
from klankbord_ingest.links import door as link_door
from klankbord_runtime import db
from klankbord_schemas import InteractionReceived, post_identity
from klankbord_standalone.servers import Installation

LINKS = "/v1/operator/links"
ADDRESS = "127.0.0.2"
"""Where whoever follows a link is: another address than the server's, to be told from it."""
FORWARDED = "203.0.113.77"
COOKIE = "tracked-0815"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
BROWSER = {
    "user-agent": FIREFOX,
    "referer": "https://www.google.com/search?q=a+secret+question",
    "x-forwarded-for": FORWARDED,
    "cookie": f"id={COOKIE}",
}
OFFER = {"url": "https://example.org/page?q=1#top", "community": "demo", "campaign": "spring"}
LEADS_TO = "https://example.org/page?q=1&utm_campaign=spring#top"
SITE = """
  - name: site
    community: demo
    kind: plausible
    sites: [example.org]
    from_browsers: true
"""


class Links:
    """A running ingest, its operator, and whoever follows links."""

    def __init__(self, door: Door, member: httpx.AsyncClient) -> None:
        self.door = door
        self.member = member

    async def add(self, **offer: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {OPERATOR_TOKEN}"}
        return await self.door.http.post(LINKS, json=OFFER | offer, headers=headers)

    async def code(self, **offer: str) -> str:
        made = await self.add(**offer)
        assert made.status_code == 201, made.text
        code: str = made.json()["code"]
        return code

    async def follow(self, code: str, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.member.get(f"/r/{code}", headers=BROWSER | given)

    async def clicks(self) -> list[InteractionReceived]:
        return [event for event in await self.door.said() if isinstance(event, InteractionReceived)]

    async def counted(self, number: int) -> list[InteractionReceived]:
        async def are_there() -> list[InteractionReceived] | None:
            clicks = await self.clicks()
            return clicks if len(clicks) >= number else None

        found: list[InteractionReceived] = await eventually(are_there)
        assert len(found) == number
        return found

    def outcome(self, name: str) -> float:
        told = self.door.service.registry.get_sample_value(
            "klankbord_ingest_clicks_total", {"outcome": name}
        )
        return told or 0.0


@pytest.fixture
async def links(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> AsyncIterator[Links]:
    await migrated("ingest")
    own = settings_of(installation, tmp_path)
    (tmp_path / "klankbord.yaml").write_text(CONFIG + SITE)
    service = create(own)
    base = f"http://127.0.0.1:{own.http.port}"
    transport = httpx.AsyncHTTPTransport(local_address=ADDRESS)
    async with (
        service.running(),
        httpx.AsyncClient(base_url=base, timeout=20) as http,
        httpx.AsyncClient(base_url=base, timeout=20, transport=transport) as member,
    ):
        yield Links(Door(service, http), member)


async def test_a_click_leads_and_ends_as_one_event(
    links: Links, installation: Installation
) -> None:
    code = await links.code(source="forum", post="42")
    led = await links.follow(code)
    assert (led.status_code, led.headers["location"]) == (302, LEADS_TO)
    assert led.headers["cache-control"] == "no-store"
    assert led.headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert "set-cookie" not in led.headers
    (click,) = await links.counted(1)
    said = click.data
    assert (said.kind, said.url, said.object) == ("click", OFFER["url"], "42")
    assert said.post == post_identity("demo", "forum.example.org", "42")
    assert (said.campaign, said.channel, said.referrer) == ("spring", "search", "google.com")
    assert (said.attributed_to, said.source, said.is_automated) == (None, "forum", False)
    assert said.published_trust == "attested"
    async with installation.client("operator") as client:
        stream = client.jetstream()

        async def stored() -> bool:
            return (await stream.stream_info("INTERACTIONS")).state.messages >= 1

        await eventually(stored)
        await asyncio.sleep(0.2)
        assert (await stream.stream_info("INTERACTIONS")).state.messages == 1


NOBODY = [
    ({"sec_purpose": "prefetch"}, "prefetch"),
    ({"sec_purpose": "prefetch;prerender"}, "prefetch"),
    ({"purpose": "prefetch"}, "prefetch"),
    ({"x_moz": "prefetch"}, "prefetch"),
    ({"user_agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}, "automated"),
    ({"user_agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"}, "automated"),
    ({"user_agent": ""}, "automated"),
]
"""Headers of who is no member, and what they are counted as."""


async def test_a_source_that_is_gone_from_the_list_stops_no_click(links: Links) -> None:
    """Nor does one that went to another community; and clicks do not make a silent forum heard."""
    codes = [await links.code(source="forum"), await links.code(source="chat"), await links.code()]
    told = CONFIG.replace(
        "sources:", "  - {slug: other, name: Other, time_zone: UTC, languages: [en]}\nsources:"
    )
    moved = told.replace("{name: chat, community: demo", "{name: chat, community: other")
    gone = "".join(line for line in moved.splitlines(keepends=True) if "name: forum" not in line)
    service = links.door.service
    async with service.database.transaction() as connection:
        await service.files["klankbord"].apply(connection, gone.encode())
    async with service.database.connection() as connection:
        await service.files["klankbord"].refresh(connection)
    for code in codes:
        assert (await links.follow(code)).status_code == 302
    clicks = await links.counted(3)
    assert [click.data.source for click in clicks] == ["forum", "links", "links"]
    assert {click.data.community for click in clicks} == {"demo"}
    assert (
        service.registry.get_sample_value(
            "klankbord_ingest_submissions_total", {"source": "links", "outcome": "received"}
        )
        == 2
    )


async def test_who_is_no_member_is_led_and_not_counted(links: Links) -> None:
    code = await links.code(code="launch")
    for headers, _ in NOBODY:
        assert (await links.follow(code, **headers)).headers["location"] == LEADS_TO
    led = await links.member.head(f"/r/{code}", headers=BROWSER)
    assert (led.status_code, led.headers["location"], led.content) == (302, LEADS_TO, b"")
    for outcome in ("prefetch", "automated"):
        assert links.outcome(outcome) == [told for _, told in NOBODY].count(outcome)
    assert links.outcome("head") == 1
    assert (await links.follow("LAUNCH")).headers["location"] == LEADS_TO
    await links.counted(1)


async def test_a_link_that_is_not_there_or_was_ended_is_a_page_in_plain_words(links: Links) -> None:
    hostile = [
        "nothing",
        "%3Cscript%3E",
        "a" * 5000,
        "..%2f..",
        "%00",
        "%F0%9F%92%A9",
        "https:%2F%2Fe",
    ]
    for code in hostile:
        answer = await links.follow(code)
        assert answer.status_code == 404
        assert "There is no such link" in answer.text
        assert "script" not in answer.text
        assert "location" not in answer.headers
    assert links.outcome("unknown") == len(hostile)
    code = await links.code(code="launch")
    operator = {"authorization": f"Bearer {OPERATOR_TOKEN}"}
    ended = await links.door.http.post(f"{LINKS}/{code}/disable", headers=operator)
    assert ended.json()["disabled"] is not None
    answer = await links.follow(code)
    assert (answer.status_code, "has ended" in answer.text) == (410, True)
    assert (await links.add(code="launch")).status_code == 409
    assert (await links.door.http.post(f"{LINKS}/x/disable", headers=operator)).status_code == 404


async def test_nothing_of_a_request_decides_where_it_leads(links: Links) -> None:
    code = await links.code()
    hosts = (
        {"host": "evil.example"},
        {"x_forwarded_host": "evil.example"},
        {"forwarded": "host=e"},
    )
    for query in (
        "",
        "?url=https://evil.example",
        "?next=//evil.example",
        "?utm_campaign=x",
        "#@e",
    ):
        for headers in hosts:
            answer = await links.follow(code + query, **headers)
            assert answer.headers["location"] == LEADS_TO


async def test_the_operator_alone_makes_links(links: Links) -> None:
    for token in ("", "Bearer wrong", f"Basic {OPERATOR_TOKEN}"):
        headers = {"authorization": token}
        for method, path in (("GET", LINKS), ("POST", LINKS), ("POST", f"{LINKS}/x/disable")):
            answer = await links.door.http.request(method, path, headers=headers)
            assert answer.status_code == 401
    assert (await links.add(code="twice")).status_code == 201
    assert (await links.add(code="twice")).status_code == 200
    assert (await links.add(code="twice", campaign="other")).status_code == 409


REFUSED = [
    ({"url": "javascript:alert(1)"}, "is no whole address"),
    ({"url": "https://user:pw@example.org/"}, "holds a name or a password"),
    ({"url": "https://example.org/\r\nset-cookie: a=b"}, "a control character"),
    ({"community": "nobody"}, "is not listed in klankbord.yaml; listed are demo"),
    ({"source": "nothing"}, "is not listed in klankbord.yaml"),
    ({"post": "42"}, "say of which source the post is"),
    ({"url": "https://example.org/?utm_campaign=x"}, "names utm_campaign already"),
]
"""Links that cannot be, and what the operator is told."""


async def test_a_link_that_cannot_be_is_refused_with_the_reason(links: Links) -> None:
    for offer, told in REFUSED:
        answer = await links.add(**offer)
        assert answer.status_code == 422
        assert told in answer.json()["errors"][0]["why"]
    assert (await links.add(url="https://example.org/" + "a" * 40_000)).status_code == 413
    assert links.door.service.registry.get_sample_value("klankbord_ingest_waiting_bytes") == 0


async def test_no_address_no_cookie_and_no_agent_is_kept_anywhere(
    links: Links, installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    code = await links.code(source="forum", post="42")
    await links.follow(code)
    await links.follow("unknown")
    view = {
        "n": "pageview",
        "u": "https://example.org/a?mail=a@b.example",
        "d": "example.org",
        "r": "https://www.google.com/search?q=a+secret+question",
    }
    own_page = BROWSER | {"referer": "https://example.org/a?mail=a@b.example"}
    hit = await links.member.post("/v1/sources/site/api/event", json=view, headers=own_page)
    assert (hit.status_code, "set-cookie" in hit.headers) == (202, False)
    turned_away = BROWSER | {"origin": "https://evil.example"}
    again = await links.member.post("/v1/sources/site", json=view, headers=turned_away)
    assert again.status_code == 401
    assert [one.data.kind for one in await links.counted(2)] == ["click", "view"]
    secrets = [ADDRESS, FORWARDED, COOKIE, FIREFOX, "a+secret+question", "mail=a@b"]
    written = await _everything(installation)
    assert "example.org/page" in written  # it is the right haystack
    logged = "\n".join(
        logging.Formatter().format(record)
        for record in caplog.records
        # the test's own client, and what `log_to_stderr` shuts up: the e2e test reads a real log
        if not record.name.startswith(("http", "asyncio", "uvicorn.access"))
    )
    exposed = (await links.door.http.get("/metrics")).text
    for secret in secrets:
        assert secret not in written
        assert secret not in logged
        assert secret not in exposed


async def _everything(installation: Installation) -> str:
    """Every row of every table, and what stands in its bytes."""
    connection = await asyncpg.connect(installation.admin_url)
    try:
        tables = await connection.fetch(
            "select format('%I.%I', schemaname, tablename) as name from pg_tables "
            "where schemaname not in ('pg_catalog', 'information_schema')"
        )
        rows = [
            row["told"]
            for table in tables
            for row in await connection.fetch(f"select t::text as told from {table['name']} t")
        ]
    finally:
        await connection.close()
    text = "\n".join(rows)
    found = re.findall(r"\\\\?x((?:[0-9a-f]{2})+)", text)
    return text + "\n".join(bytes.fromhex(one).decode("utf-8", "replace") for one in found)


async def test_links_lead_while_the_database_is_away_and_clicks_go_in_when_it_is_back(
    links: Links, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "COMMAND_TIMEOUT", 0.5)
    code = await links.code()
    away = await asyncpg.connect(installation.admin_url)
    try:
        async with away.transaction():
            await away.execute(
                "lock table ingest.interaction, ingest.link in access exclusive mode"
            )
            begun = time.perf_counter()
            for _ in range(20):
                assert (await links.follow(code)).headers["location"] == LEADS_TO
            assert time.perf_counter() - begun < 1.0
            waiting = "klankbord_ingest_clicks_waiting"
            assert links.door.service.registry.get_sample_value(waiting) == 20
    finally:
        await away.close()
    await links.counted(20)
    assert links.outcome("lost") == 0


async def test_a_crowd_is_led_at_once_and_counted_up_to_a_point(
    links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, most = await links.code(), link_door.MOST_PER_SECOND
    monkeypatch.setattr(link_door, "time", SimpleNamespace(monotonic=lambda: 7.0))
    begun = time.process_time()  # a clock on the wall would measure what else runs here
    for _ in range(most + 3):
        assert (await links.follow(code)).status_code == 302
    each = (time.process_time() - begun) / (most + 3)
    assert each < 0.005, f"{each * 1000:.1f} ms of ours and of whoever asks"
    assert links.outcome("capped") == 3
    await links.counted(most)


async def test_a_source_that_anybody_can_send_to_is_heard_so_often_a_second(
    links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plausible, "most_per_second", 2)
    monkeypatch.setattr(api, "time", SimpleNamespace(monotonic=lambda: 7.0))
    view = {"n": "pageview", "u": "https://example.org/a", "d": "example.org"}
    page = BROWSER | {"referer": "https://example.org/"}
    answers = [
        (await links.member.post("/v1/sources/site", json=view, headers=page)).status_code
        for _ in range(4)
    ]
    assert answers == [202, 202, 429, 429]
    await links.counted(2)


async def test_another_replica_knows_the_link_soon(
    links: Links,
    installation: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_door, "FOLLOW_EVERY", 0.05)
    before = await links.code(code="before")
    (tmp_path / "other").mkdir()
    own = settings_of(installation, tmp_path / "other")
    base = f"http://127.0.0.1:{own.http.port}"
    async with create(own).running(), httpx.AsyncClient(base_url=base, headers=BROWSER) as other:
        assert (await other.get(f"/r/{before}")).status_code == 302
        await links.code(code="after")

        async def knows() -> bool:
            return (await other.get("/r/after")).status_code == 302

        await eventually(knows)


async def test_what_was_clicked_before_an_orderly_stop_is_kept(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> None:
    await migrated("ingest")
    own = settings_of(installation, tmp_path)
    base = f"http://127.0.0.1:{own.http.port}"
    service = create(own)
    async with service.running(), httpx.AsyncClient(base_url=base, timeout=20) as http:
        links = Links(Door(service, http), http)
        code = await links.code()
        await asyncio.gather(*(links.follow(code) for _ in range(50)))
    connection = await asyncpg.connect(installation.admin_url)
    try:
        kept: Any = await connection.fetchval("select count(*) from ingest.interaction")
    finally:
        await connection.close()
    assert kept == 50
