"""What recordings of HTTP hold: the JSON of each answer, and its pieces of one kind."""

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import yaml

from klankbord_ingest.server_sent import ServerSent, ServerSentReader


def answers(body: bytes) -> Iterator[tuple[str, Any]]:
    """Address and JSON of every answer that a cassette holds; those that are no JSON are left out.

    Cassettes of VCR.py (YAML or JSON) and of Betamax have the same outline.
    """
    cassette = _document(body)
    interactions = cassette.get("interactions") if isinstance(cassette, dict) else None
    for interaction in interactions or ():
        request, response = interaction["request"], interaction["response"]
        text = _text(response["body"])
        try:
            yield urlsplit(str(request.get("uri") or request.get("url"))).path, json.loads(text)
        except ValueError:
            continue


def streams(body: bytes) -> Iterator[ServerSent]:
    """Every server-sent event that a cassette, or a stream as it is, holds."""
    cassette = _document(body)
    if isinstance(cassette, dict) and "interactions" in cassette:
        texts = [_text(one["response"]["body"]) for one in cassette["interactions"]]
    else:
        texts = [body]
    for text in texts:
        if text.lstrip().startswith((b":", b"event:", b"data:")):
            reader = ServerSentReader()
            yield from filter(None, reader.read(text + b"\n\n"))


def pieces(document: Any, *names: str) -> Iterator[dict[str, Any]]:
    """Every object in a document that has all of these names, the outermost of each branch."""
    if isinstance(document, dict):
        if all(name in document for name in names):
            yield document
            return
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from pieces(part, *names)


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        pass
    try:
        return yaml.load(body, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeError):
        return None


def _text(body: Any) -> bytes:
    """A recorded body: text, bytes, or base64 of what may be compressed."""
    if isinstance(body, dict):
        if "base64_string" in body:
            return _plain(base64.b64decode(body["base64_string"]))
        body = body.get("string", "")
    raw = body if isinstance(body, bytes) else str(body).encode()
    return _plain(raw)


def _plain(raw: bytes) -> bytes:
    return zlib.decompress(raw, 47) if raw.startswith(b"\x1f\x8b") else raw
