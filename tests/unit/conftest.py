"""A unit test opens no socket: what it promises holds without any server."""

import socket
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def no_socket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections, but for the tests that need a browser."""
    if request.node.get_closest_marker("system"):
        return

    def refuse(_socket: socket.socket, address: Any) -> NoReturn:
        pytest.fail(f"a unit test opens no socket, and this one wanted {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
