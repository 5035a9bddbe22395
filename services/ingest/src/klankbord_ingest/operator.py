"""Who may use the operator's doors."""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus

from starlette.requests import Request

from klankbord_ingest.problem import ProblemError
from klankbord_ingest.signature import is_one_of

log = logging.getLogger(__name__)


class Operator:
    """The operator, known by a token."""

    def __init__(self, tokens: Callable[[], Sequence[bytes]]) -> None:
        """Know the operator by the tokens that `tokens` reads; without one nobody is let in."""
        self._tokens = tokens

    def admit(self, request: Request) -> None:
        """Let the operator in.

        Raises:
            ProblemError: the request does not bear the operator's token.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode("latin-1")
        try:
            tokens = self._tokens()
        except (OSError, ValueError) as reason:
            log.error("the operator's doors are shut: %s", reason)  # noqa: TRY400
            tokens = ()
        is_right = is_one_of(given, tokens)
        if scheme.lower() != "bearer" or not is_right:
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "this is not the operator's token; send it as `Authorization: Bearer <token>`",
                headers={"WWW-Authenticate": "Bearer"},
            )
