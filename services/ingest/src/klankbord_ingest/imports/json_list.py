"""A JSON document that is one long list with a little around it, read without holding it all."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from klankbord_ingest.imports.archive import UNREADABLE
from klankbord_ingest.imports.row import MAX_LINE_BYTES

CHUNK = 256 * 1024
MAX_HEAD = 1_000_000
"""How much may stand before the list."""

_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,]*")


class NoListError(ValueError):
    """A document does not go on as JSON does, or holds no such list."""


class JsonList:
    """The items of the list that an object has under a name."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Read up to the list.

        Raises:
            NoListError: there is none of that name, or what stands before it is no JSON.
        """
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._is_whole = False
        # Within a text, the quotation mark would be escaped.
        begins = re.compile(rf'(?<!\\)"{re.escape(name)}"\s*:\s*\[')
        while (found := begins.search(self._text)) is None:
            if self._is_whole or len(self._text) > MAX_HEAD:
                raise NoListError(f"there is no list `{name}` in it")
            self._more()
        head = self._text[: found.start()].rstrip().removesuffix(",") + "}"
        self._text = self._text[found.end() :]
        try:
            self.head: dict[str, Any] = json.loads(head)
        except (ValueError, RecursionError) as error:
            raise NoListError(f"what stands before `{name}` is no JSON: {error}") from error

    def __iter__(self) -> Iterator[Any]:
        """Each item.

        Raises:
            NoListError: the list breaks off, or an item is too large to be read.
        """
        at = 0
        while True:
            at = _end_of_space(self._text, at)
            if self._text.startswith("]", at):
                return
            try:
                item, at = _DECODER.raw_decode(self._text, at)
            except RecursionError:
                raise NoListError("an item nests too deep") from None
            except ValueError as error:
                if self._is_whole:
                    raise NoListError(f"the list breaks off: {error}") from error
                self._text, at = self._text[at:], 0
                if len(self._text) > MAX_LINE_BYTES + CHUNK:
                    why = f"an item is larger than {MAX_LINE_BYTES:,} bytes"
                    raise NoListError(why) from error
                self._more()
                continue
            yield item

    def _more(self) -> None:
        try:
            chunk = self._stream.read(CHUNK)
            self._is_whole = not chunk
            self._text += self._decoder.decode(chunk, final=self._is_whole)
        except UnicodeDecodeError as error:
            raise NoListError(f"it is not UTF-8: {error}") from error
        except UNREADABLE as error:
            raise NoListError(f"the archive is broken here: {error}") from error


def _end_of_space(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at
