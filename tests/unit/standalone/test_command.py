"""Which errors end a command with one clear line, and which are bugs of ours."""

import pytest
from nats.errors import NoServersError

from klankbord_runtime.accepted import Problem, Refused
from klankbord_runtime.provision import ProvisionError
from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.command import explain
from klankbord_standalone.explained import UsageError
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


@pytest.mark.parametrize(
    "error", [KeyError("x"), RuntimeError("x"), ExceptionGroup("x", [ValueError("x")])]
)
def test_a_bug_of_ours_is_not_explained_away(error: Exception) -> None:
    assert explain(error) is None
