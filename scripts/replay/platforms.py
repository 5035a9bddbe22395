"""Each platform's payloads as what its kind hears: a request, an answer, an event.

One function a folder; see `folders.py`. What a payload names, such as its server or its room, the
source is listed with, so that nothing is passed over as another's. No signature is checked: the
payloads have none, and the kinds' own tests see to that.
"""

import asyncio
import json
import re
import shutil
import struct
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from scripts.replay.playing import (
    NOW,
    File,
    Streaming,
    answering,
    answering_at,
    pushed,
    socket_of,
    source_of_kind,
    to_its_end,
)
from scripts.replay.recordings import answers, pieces, streams
from scripts.replay.tally import UnreadError

from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.imports.row import Refusal, Row
from klankbord_ingest.imports.slack import read_slack
from klankbord_ingest.kind import FieldError, Page, SourceEntry, gathered

Pages = AsyncGenerator[Page, None]

NO_TEAM = "T00000000"
"""The workspace of what names none."""
NO_PAYLOAD = {
    ".md": "text about the payloads",
    ".py": "a program",
    ".ts": "a program",
    ".pkl": "a pickled object of Python",
    ".headers": "headers alone",
}
"""What a file is that holds no payload, by how its name ends."""


def document_of(file: File) -> Any:
    """The JSON of a file.

    Raises:
        UnreadError: it holds none.
    """
    suffix = PurePosixPath(file.name).suffix
    if suffix in NO_PAYLOAD:
        raise UnreadError(NO_PAYLOAD[suffix])
    try:
        return json.loads(file.body)
    except ValueError as error:
        raise UnreadError("no JSON") from error


# -- chat ------------------------------------------------------------------------------------------


async def slack(file: File) -> Pages:
    """Events as Slack sends them; an export as `klankbord import` reads it."""
    if file.name.endswith(".zip"):
        yield rows_of(read_slack(file.path))
        return
    event = document_of(file)
    if not isinstance(event, dict) or not event.keys() & {"event", "type"}:
        raise UnreadError("no event: the answer of a dialog, a view or a command")
    given = (event.get("team_id"), event.get("enterprise_id"))
    names = [one for one in given if one and re.fullmatch(r"[TE][A-Z0-9]+", one)] or [NO_TEAM]
    if names == [NO_TEAM]:  # samples of a shape, whose texts are empty or made up
        event |= {"type": event.get("type") or "event_callback", "team_id": NO_TEAM}
    yield pushed(source_of_kind("slack", team=names[0]), json.dumps(event).encode())


async def discord(file: File) -> Pages:
    """What the gateway brings; which event it is, the file's name says."""
    event = {
        "message_footer": "MESSAGE_CREATE",
        "message_type": "MESSAGE_CREATE",
        "guild_-1_role_position": "GUILD_ROLE_UPDATE",
    }
    name = re.sub(r"_\d+$", "", PurePosixPath(file.name).stem)
    data = document_of(file)
    guild = str(data.get("guild_id") or "10000000000000000")
    entry: Any = source_of_kind("discord", guild=guild).entry
    what = event.get(name, name.upper())
    if what not in module_of(entry)._HEARD:
        raise UnreadError("an event that says nothing of a post or a member")
    yield gathered([data], lambda said: entry.heard(what, said, {}, file.name, NOW))


# -- code and forums -------------------------------------------------------------------------------


async def discourse(file: File) -> Pages:
    """Posts out of REST's answers, as the webhook `post_created` brings each."""
    posts = list(pieces(document_of(file), "cooked", "post_number", "topic_id"))
    if not posts:
        raise UnreadError("no post: accounts, groups, categories, settings")
    source = source_of_kind("discourse", url="https://forum.example.org")
    for post in posts:
        headers = {"X-Discourse-Event-Type": "post", "X-Discourse-Event": "post_created"}
        yield pushed(source, json.dumps({"post": post}).encode(), headers)


async def github(file: File) -> Pages:
    """Webhooks; which event it is, the folder's name says."""
    event = PurePosixPath(file.name).parts[0]
    headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": file.name}
    yield pushed(source_of_kind("github"), json.dumps(document_of(file)).encode(), headers)


# -- social ----------------------------------------------------------------------------------------


async def mastodon(file: File) -> Pages:
    """Statuses and notifications of recorded answers, as a timeline lists them, and streams."""
    if file.name.endswith(".pkl"):
        raise UnreadError(NO_PAYLOAD[".pkl"])
    documents = [answer for _, answer in answers(file.body)] or [_json_or_none(file.body)]
    statuses = list(pieces(documents, "uri", "content", "account", "visibility"))
    notified = [
        one for one in pieces(documents, "type", "created_at", "account") if "visibility" not in one
    ]
    events = list(streams(file.body))
    if not (statuses or notified or events):
        raise UnreadError("no status and no notification: settings, accounts, instances")
    host = {"url": "https://mastodon.example", "timeline": "home"}
    entry: Any = source_of_kind("mastodon", **host).entry
    web = answering_at({"/timelines/home": statuses, "/notifications": notified})
    if statuses or notified:
        yield await entry.fetch(web, {}, NOW)
    if events:
        async for page in to_its_end(entry.stream(Streaming(web, events), {})):
            yield page


async def bluesky(file: File) -> Pages:
    """Frames of a firehose, sent by a local web socket as a relay sent them."""
    if not file.name.endswith("frames.bin.zst"):
        raise UnreadError("no frame: lexicons, documents of accounts, text")
    if (zstd := shutil.which("zstd")) is None:
        raise UnreadError("no zstd here to unpack it")
    run = await asyncio.create_subprocess_exec(
        zstd, "-dc", file.path, stdout=asyncio.subprocess.PIPE
    )
    raw, _ = await run.communicate()
    async for page in firehose(raw):
        yield page


async def firehose(raw: bytes) -> Pages:
    """Frames with their lengths before them."""
    frames, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        frames.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    async with socket_of(frames) as (url, web):
        address = f"{url}/xrpc/com.atproto.sync.subscribeRepos"
        entry: Any = source_of_kind("bluesky", url=address, everything=True, appview=None).entry
        async for page in to_its_end(entry.stream(web, {})):
            yield page


async def matrix(file: File) -> Pages:
    """Events as a homeserver sends them to an application service."""
    if file.name.startswith("core/"):
        raise UnreadError("the common part of other examples")
    event = _referred(file)
    if "content" not in event:
        raise UnreadError("no event")
    yield matrix_events([event])


def matrix_events(events: Sequence[Mapping[str, Any]]) -> Page:
    """These events in one transaction, with their rooms listed."""
    rooms = sorted({room for event in events if isinstance(room := event.get("room_id"), str)})
    source = source_of_kind("matrix", rooms=rooms or ["!room:example.org"])
    body = json.dumps({"events": events}).encode()
    return pushed(source, body, path="/_matrix/app/v1/transactions/1", method="PUT")


def _referred(file: File) -> dict[str, Any]:
    """An example of Matrix's specification, with what it refers to by `$ref`."""
    event: dict[str, Any] = document_of(file)
    reference = event.pop("$ref", None)
    if reference is None:
        return event
    path = file.path.parent / reference
    known = {"room_id": "!jEsUZKDJdhlrceRyVU:example.org", "sender": "@example:example.org"}
    below = (
        _referred(File(path, path.name))
        if path.exists()
        else known
        | {
            "event_id": "$143273582443PhrSn:example.org",
            "origin_server_ts": 1432735824653,
        }
    )
    return below | event


# -- mail ------------------------------------------------------------------------------------------


async def email(file: File) -> Pages:
    """Mails as a mailbox has them."""
    mailbox = {"host": "imap.example.org", "user": "community@example.org"}
    kind = module_of(source_of_kind("mail", **mailbox).entry)
    if file.name.endswith((".html", ".js", ".json", ".gif", ".wav", ".au")):
        raise UnreadError("a part of a mail, no mail")
    yield kind.page_of([kind.Delivered(1, NOW, file.body)], None)


# -- those that only the owner may open ------------------------------------------------------------


async def meta(file: File) -> Pages:
    """Posts, media and comments of the Graph API's answers, as a page of a backfill."""
    document = document_of(file)
    if file.name.startswith("facebook/"):
        kind, names = "facebook", ("id", "created_time")
    else:
        kind, names = "instagram", ("id", "timestamp")
    found = list(pieces(document, *names))
    if not found:
        raise UnreadError("no post, media or comment: pages, users, pictures, settings")
    entry: Any = source_of_kind(kind, account="17841405822304914").entry
    yield await entry.backfill(answering(json.dumps({"data": found}).encode()), {}, None)


async def reddit(file: File) -> Pages:
    """Things of recorded answers, as the listing `new` gives them."""
    found = list(_things([answer for _, answer in answers(file.body)]))
    if not found:
        raise UnreadError("no post, comment or message: reports, modmail, tokens")
    listing = {"kind": "Listing", "data": {"children": found, "after": None}}
    nothing = {"kind": "Listing", "data": {"children": [], "after": None}}
    entry: Any = source_of_kind("reddit", subreddit="replayed", client_id="replayed").entry
    token = {"access_token": "replayed"}
    web = answering_at({"/access_token": token, "/new": listing, "/comments": nothing})
    yield await entry.fetch(web, {}, NOW)


def _things(document: Any) -> Iterator[dict[str, Any]]:
    """Posts, comments and messages, with the answers that stand in them."""
    for one in pieces(document, "kind", "data"):
        if one["kind"] == "Listing":
            yield from _things(one["data"].get("children"))
        elif one["kind"] in {"t1", "t3", "t4"}:
            yield one
            yield from _things(one["data"].get("replies"))


async def x_twitter(file: File) -> Pages:
    """Recorded answers as the webhook brings posts: of the second interface, and of the first."""
    documents = [answer for _, answer in answers(file.body)]
    second = [one for one in documents if list(pieces(one, "data")) and list(pieces(one, "text"))]
    first = [one for one in pieces(documents, "id_str", "user", "created_at") if "text" in one]
    if not (second or first):
        raise UnreadError("no post: users, spaces, counts, saved searches")
    source = source_of_kind("x")
    for document in second:
        yield pushed(source, json.dumps(document).encode())
    if first:
        said = {"for_user_id": first[0]["user"]["id_str"], "tweet_create_events": first}
        yield pushed(source, json.dumps(said).encode())


async def youtube(file: File) -> Pages:
    """Comment threads of the Data API's answers; a comment alone as the first of a thread."""
    document = document_of(file)
    found = [one for one in pieces(document, "kind", "id", "snippet") if isinstance(one["id"], str)]
    threads = [one for one in found if one["kind"] == "youtube#commentThread"]
    threads += [
        {"id": one["id"], "snippet": {"topLevelComment": one, "totalReplyCount": 0}}
        for one in found
        if one["kind"] == "youtube#comment"
    ]
    if not threads:
        raise UnreadError("no comment: videos, channels, searches, activities")
    entry: Any = source_of_kind("youtube", channel="UC_x5XG1OV2P6uZZ5FSM9Ttw").entry
    yield await entry.fetch(answering(json.dumps({"items": threads}).encode()), {}, NOW)


# -- recorded here ---------------------------------------------------------------------------------


async def recorded(file: File) -> Pages:
    """What real servers sent when they were tried for this project."""
    reads = {
        "isso/feed.atom.xml": _recorded_feed,
        "matrix/appservice_transactions.json": _recorded_transactions,
        "matrix/sync_response.json": _recorded_sync,
        "atproto/subscribeRepos.frames.bin": lambda one: firehose(one.body),
    }
    read = mastodon if file.name.startswith("mastodon-mock/") else reads.get(file.name)
    if read is None:
        raise UnreadError("headers, and frames that another file has undecoded")
    async for page in read(file):
        yield page


async def _recorded_feed(file: File) -> Pages:
    with FeedReader() as reader:
        entry: Any = source_of_kind("feed", url="https://blog.example.org/feed").entry
        yield await entry.fetch(answering(file.body, reader=reader), {}, NOW)


async def _recorded_transactions(file: File) -> Pages:
    for transaction in document_of(file):
        yield matrix_events(transaction["body"]["events"])


async def _recorded_sync(file: File) -> Pages:
    for room, said in document_of(file)["rooms"]["join"].items():
        yield matrix_events([event | {"room_id": room} for event in said["timeline"]["events"]])


async def webhooks(file: File) -> Pages:
    """CloudEvents' own examples of structured mode, at the webhook."""
    if not file.name.endswith("http-protocol-binding.feature"):
        suffix = PurePosixPath(file.name).suffix
        raise UnreadError(NO_PAYLOAD.get(suffix, "no request: events in YAML, Kafka's binding"))
    source = source_of_kind("webhook")
    for body in re.findall(
        r"^ +\{\n +\"specversion.*?^ {8}\}", file.text, re.MULTILINE | re.DOTALL
    ):
        yield pushed(source, body.encode(), {"Content-Type": "application/cloudevents+json"})


# -- what several share ----------------------------------------------------------------------------


def rows_of(rows: Iterable[Row]) -> Page:
    """What an import reads."""
    said, refused = [], []
    for index, row in enumerate(rows):
        if isinstance(row.content, Refusal):
            refused.append(FieldError(index, row.content.field, row.content.why, row.content.code))
        else:
            said.append(row.content)
    return Page(said, refused)


def module_of(entry: SourceEntry | None) -> Any:
    """The module that a kind is in: what it reads with, where that is no method."""
    return sys.modules[type(entry).__module__]


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
