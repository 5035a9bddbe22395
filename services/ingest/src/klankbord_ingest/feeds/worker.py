"""The process that reads feeds, so that a hostile one can neither hang nor fill the service.

`FeedReader` keeps one such process: it sends a document down the pipe and gets JSON back. The
process ends itself, by the kernel's alarm, when a document takes longer than its time; and it
may not allocate more than its memory. Whoever ends is replaced at the next document.

Requests are a line with the number of bytes, then the bytes; answers are one line of JSON.
"""

import json
import resource
import signal
import subprocess
import sys
import threading
from typing import BinaryIO, Self

from klankbord_ingest.feeds.document import FeedDocument, UnreadableFeedError
from klankbord_ingest.feeds.parse import parse

MAX_SECONDS = 4.0
MAX_MEMORY_BYTES = 768 * 1024 * 1024
"""Of address space; the interpreter and the parsers take some 150 MiB of it before any feed."""


class FeedReader:
    """Reads feeds in a process of its own. Its methods block, and may be called from threads."""

    def __init__(
        self, max_seconds: float = MAX_SECONDS, max_memory_bytes: int = MAX_MEMORY_BYTES
    ) -> None:
        self._max_seconds = max_seconds
        self._max_memory_bytes = max_memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, body: bytes) -> FeedDocument:
        """Read a feed.

        Raises:
            UnreadableFeedError: it is no feed, or took more time or memory than it may.
        """
        with self._turn:
            answer = self._ask(body)
        if "refused" in answer:
            raise UnreadableFeedError(answer["refused"], answer["why"])
        return FeedDocument.model_validate(answer)

    def close(self) -> None:
        """End the process."""
        with self._turn:
            self._end()

    def _ask(self, body: bytes) -> dict[str, str]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b"%d\n" % len(body) + body)
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if line.endswith(b"\n"):
            answer: dict[str, str] = json.loads(line)
            return answer
        status = self._end()
        if status == -signal.SIGALRM:
            return _refusal("too_slow", f"reading it took more than {self._max_seconds:g} seconds")
        return _refusal("reader_died", f"the reader ended with status {status} over it")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [
                    sys.executable,
                    "-m",
                    "klankbord_ingest.feeds.worker",
                    str(self._max_seconds),
                    str(self._max_memory_bytes),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        return self._process

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        with process:  # closes both pipes, then waits
            if process.stdin is not None:
                try:
                    process.stdin.close()
                except BrokenPipeError:
                    process.kill()
        return process.returncode


def _refusal(code: str, why: str) -> dict[str, str]:
    return {"refused": code, "why": why}


def _serve(requests: BinaryIO, answers: BinaryIO, max_seconds: float) -> None:
    """Answer requests until the other end of the pipe closes."""
    while header := requests.readline():
        body = requests.read(int(header))
        # No handler is set: the alarm ends the process even inside a C library.
        signal.setitimer(signal.ITIMER_REAL, max_seconds)
        answer = _read(body)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(answer + b"\n")
        answers.flush()


def _read(body: bytes) -> bytes:
    try:
        return parse(body).model_dump_json(exclude_defaults=True).encode()
    except UnreadableFeedError as error:
        refusal = _refusal(error.code, str(error))
    except MemoryError:
        refusal = _refusal("too_much_memory", "reading it takes more memory than a feed may")
    except Exception as error:  # noqa: BLE001  a third party's parser on hostile bytes raises anything
        refusal = _refusal("no_feed", f"it cannot be read: {type(error).__name__}: {error}")
    return json.dumps(refusal).encode()


def main() -> None:
    """The process: `python -m klankbord_ingest.feeds.worker SECONDS BYTES`."""
    max_seconds, max_memory_bytes = float(sys.argv[1]), int(sys.argv[2])
    # Ctrl-C is for the service, which closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    _serve(sys.stdin.buffer, sys.stdout.buffer, max_seconds)


if __name__ == "__main__":
    main()
