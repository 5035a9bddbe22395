"""What the operator's own files hold about a member."""

import json
from pathlib import Path

from klankbord_standalone.traces import Member, Search


def forget_discarded(file: Path, member: Member) -> int:
    """Take the member out of the file of discarded dead letters; gives how many there were."""
    try:
        lines = file.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return 0
    kept = [line for line in lines if not _is_theirs(line, member)]
    if len(kept) < len(lines):
        new = file.with_suffix(".new")
        new.write_bytes(b"".join(kept))
        new.replace(file)
    return len(lines) - len(kept)


def files_naming(folder: Path, member: Member) -> list[str]:
    """The files in a folder that hold the member's pseudonym or native id."""
    quoted = [json.dumps(name) for name in (member.pseudonym, member.native_id) if name]
    # a refused row may stand there as JSON, or as a text that holds JSON
    needles = [text.encode() for name in quoted for text in (name, json.dumps(name)[1:-1])]
    return [
        str(file)
        for file in sorted(folder.glob("*.ndjson"))
        if any(needle in file.read_bytes() for needle in needles)
    ]


def _is_theirs(line: bytes, member: Member) -> bool:
    search = Search(member)
    body = str(json.loads(line)["body"]).encode()
    search.hear("discarded", 0, body)
    return bool(search.finish().found)
