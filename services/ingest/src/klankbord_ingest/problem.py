"""What a door answers when it cannot do what was asked: RFC 9457, problem details."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus

from starlette.responses import JSONResponse

from klankbord_ingest.submission import FieldError


class ProblemError(Exception):
    """A request that is turned away. Its text tells the sender why, and what to do."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = errors
        self.headers = headers

    def response(self) -> JSONResponse:
        """The answer as `application/problem+json`."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": str(self),
        }
        if self.errors:
            document["errors"] = [asdict(error) for error in self.errors]
        return JSONResponse(
            document,
            status_code=self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )
