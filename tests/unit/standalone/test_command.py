"""Which errors end a command with one clear line, and which are bugs of ours."""

import os
from pathlib import Path

import pytest
from nats.errors import NoServersError

from klankbord_runtime.accepted import Problem, Refused
from klankbord_runtime.provision import ProvisionError
from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.command import explain, place_of
from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import Home, Running
from klankbord_standalone.report_reader import NoSuchCommunityError
from klankbord_standalone.sender import NotHeardError


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("give one"), 2, "give one"),
        (NoSuchCommunityError("there is none"), 1, "there is none"),
        (NotHeardError("nobody answers"), 1, "nobody answers"),
        (ProvisionError("no rights"), 1, "no rights"),
        (Refused(Problem("is bad", "mend it", line=3)), 3, "line 3: is bad; mend it"),
        (FileNotFoundError(2, "No such file", "x.yaml"), 1, "x.yaml: No such file"),
        (NoServersError(), 1, "a server does not do its part: NoServersError"),
        (ConnectionRefusedError(111, "Refused"), 1, "a server does not do its part"),
        (ExceptionGroup("two", [ServerFailedError("failed"), OSError()]), 1, "failed"),
    ],
)
def test_an_error_that_a_user_can_act_on_is_explained(
    error: Exception, code: int, told: str
) -> None:
    explained = explain(error)
    assert explained is not None
    assert explained.exit_code == code
    assert str(explained).startswith(told)


def test_other_servers_than_those_of_what_runs_here_are_refused_not_passed_over(
    tmp_path: Path,
) -> None:
    home = Home.at(tmp_path, None)
    here = Running(os.getpid(), "nats://127.0.0.1:4222", "postgresql://h/d", str(tmp_path), {})
    home.note_running(here)
    assert place_of(tmp_path, None, None, None, None).elsewhere is None
    assert place_of(tmp_path, None, here.nats_url, tmp_path, here.admin_url).elsewhere is not None
    with pytest.raises(UsageError, match="leave out --nats-url"):
        place_of(tmp_path, None, "nats://there:4222", tmp_path, "postgresql://there/klankbord")


@pytest.mark.parametrize(
    "error", [KeyError("x"), RuntimeError("x"), ExceptionGroup("x", [ValueError("x")])]
)
def test_a_bug_of_ours_is_not_explained_away(error: Exception) -> None:
    assert explain(error) is None
