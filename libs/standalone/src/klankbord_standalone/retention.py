"""`streams.yaml`: how long and how much each stream keeps, where it is not as shipped.

    POSTS: {max_age: 30d, max_bytes: 100GiB}
    DEAD:  {max_age: 60d}

It lies in the configuration folder, and whatever provisions reads it. Services do not: how long
they must know an event they ask the streams themselves.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, create_model

from klankbord_runtime.refused import Refused
from klankbord_runtime.yamlfile import Duration, Strict, read_yaml
from klankbord_schemas.topology import STREAMS, Stream
from klankbord_standalone.explained import FileRefusedError

NAME = "streams.yaml"
UNITS = {"MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
WRITTEN_SIZE = re.compile(r"([1-9][0-9]{0,8})(MiB|GiB|TiB)")
SMALLEST = 64 * UNITS["MiB"]
LARGEST = 1024 * UNITS["TiB"]
SHORTEST = timedelta(days=1)


def size(value: object) -> int:
    """A number of bytes as it is written in a file: `512MiB`, `20GiB` or `1TiB`.

    Raises:
        ValueError: it is not written so, or no stream could be so large or work so small.
    """
    if isinstance(value, str) and (written := WRITTEN_SIZE.fullmatch(value)):
        found = int(written[1]) * UNITS[written[2]]
        if SMALLEST <= found <= LARGEST:
            return found
    raise ValueError(f"{value!r} is no size from 64MiB to 1024TiB; write one such as 20GiB")


def _long_enough(age: timedelta) -> timedelta:
    if age < SHORTEST:
        raise ValueError(
            "an event that a service has not read by then is lost, so a day is the least; write 1d"
        )
    return age


Size = Annotated[int, BeforeValidator(size)]
Age = Annotated[Duration, AfterValidator(_long_enough)]


class Largest(Strict):
    """What can be said of a stream that keeps the newest of each, however old."""

    max_bytes: Size | None = None


class Kept(Largest):
    """What can be said of a stream."""

    max_age: Age | None = None


def _model() -> type[BaseModel]:
    fields: Mapping[str, Any] = {
        stream.name: ((Kept if stream.max_age else Largest) | None, None) for stream in STREAMS
    }
    return create_model("StreamsFile", __base__=Strict, **fields)


def parse_streams(body: bytes) -> tuple[Stream, ...]:
    """The topology's streams, each with how long and how much the file says that it keeps.

    Raises:
        Refused: it cannot be read so; says which line and what to do.
    """
    file = read_yaml(body, _model())
    return tuple(_kept(stream, getattr(file, stream.name)) for stream in STREAMS)


def streams_kept(config: Path) -> Sequence[Stream]:
    """The topology's streams as `streams.yaml` in that folder wants them kept, if it is there.

    Raises:
        FileRefusedError: it is not well formed; names the lines and the fixes.
        OSError: it cannot be read.
    """
    file = config / NAME
    try:
        return parse_streams(file.read_bytes())
    except FileNotFoundError:
        return STREAMS
    except Refused as refused:
        raise FileRefusedError(f"{file}: refused\n{refused}") from None


def _kept(stream: Stream, said: Largest | None) -> Stream:
    if said is None:
        return stream
    kept = replace(stream, max_bytes=said.max_bytes or stream.max_bytes)
    if isinstance(said, Kept) and said.max_age is not None:
        kept = replace(kept, max_age=int(said.max_age.total_seconds()))
    return kept
