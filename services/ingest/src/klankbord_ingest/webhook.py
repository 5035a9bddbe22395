"""What a door reads: a body that holds one submission, a batch, or CloudEvents."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import from_json

from klankbord_ingest.kind import RefusedError, body_refused
from klankbord_ingest.source import Source
from klankbord_ingest.submission import (
    MAX_BATCH,
    FieldError,
    InteractionSubmission,
    PostSubmission,
    Submission,
    field_errors,
    misplaced,
)

CLOUD_EVENT = "application/cloudevents+json"
CLOUD_EVENT_BATCH = "application/cloudevents-batch+json"

OWN_POSTS = "org.klankbord.post."
OWN_INTERACTIONS = "org.klankbord.interaction."
MOST_ERRORS = 100
"""How many problems of one body are told; the rest are of the same kinds."""


@dataclass
class Handed:
    """What a body holds."""

    submissions: list[Submission] = field(default_factory=list)
    """What is in order, as it stands in the body."""
    errors: list[FieldError] = field(default_factory=list)
    """What is wrong with the rest."""


NonEmpty = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]


class CloudEvent(BaseModel):
    """A CloudEvent in structured mode whose data is a submission.

    Format: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    specversion: Literal["1.0"]
    id: NonEmpty
    source: NonEmpty
    type: NonEmpty
    datacontenttype: Literal["application/json"] = "application/json"
    sequence: str | None = None
    data: dict[str, Any]


Parse: TypeAlias = Callable[[object, Source], Submission]
"""Makes a submission of what a source wrote into a body, or raises `RefusedError`."""

ModelT = TypeVar("ModelT", bound=BaseModel)


def read(content_type: str, body: bytes, source: Source) -> Handed:
    """What a body holds, each submission judged by itself.

    Args:
        content_type: `JSON`, `CLOUD_EVENT` or `CLOUD_EVENT_BATCH`.
        body: the raw body; at most the size that the door admits.
        source: which source sends it.

    Raises:
        RefusedError: it is no body of that kind at all, or holds too much.
    """
    try:
        document = from_json(body)
    except ValueError as error:
        raise body_refused(f"is no JSON: {error}", "no_json") from error
    handed = Handed()
    for index, value, parse in _rows(content_type, document):
        try:
            handed.submissions.append(parse(value, source))
        except RefusedError as refused:
            handed.errors += [replace(error, index=index) for error in refused.errors]
    return handed


def read_whole(content_type: str, body: bytes, source: Source) -> list[Submission]:
    """The submissions of a body: all of them, or none.

    Raises:
        RefusedError: something in it is wrong; tells everything that is, up to a hundred problems.
    """
    handed = read(content_type, body, source)
    if handed.errors:
        raise RefusedError(handed.errors[:MOST_ERRORS])
    return handed.submissions


def _rows(content_type: str, document: object) -> Iterator[tuple[int, object, Parse]]:
    """Index, value and kind of everything in a body that should be a submission."""
    if content_type == CLOUD_EVENT:
        yield 0, document, _event
    elif content_type == CLOUD_EVENT_BATCH:
        yield from ((index, value, _event) for index, value in _listed(document, ""))
    elif not isinstance(document, dict):
        raise body_refused('is no object; send one post, or {"posts": […]}', "no_object")
    elif "posts" in document or "interactions" in document:
        for name, parse in (("posts", _post), ("interactions", _listed_interaction)):
            rows = _listed(document.get(name, []), name)
            yield from ((index, value, parse) for index, value in rows)
    else:
        yield 0, document, _interaction if "kind" in document else _post


def _listed(value: object, name: str) -> Iterable[tuple[int, object]]:
    if not isinstance(value, list):
        raise body_refused("is no list", "no_list", name)
    if len(value) > MAX_BATCH:
        why = f"holds {len(value)}; send at most {MAX_BATCH} at once"
        raise body_refused(why, "too_many", name)
    return enumerate(value)


def _post(value: object, source: Source) -> Submission:
    return _submission(PostSubmission, value, source)


def _interaction(value: object, source: Source) -> Submission:
    return _submission(InteractionSubmission, value, source)


def _listed_interaction(value: object, source: Source) -> Submission:
    return _submission(InteractionSubmission, value, source, "interactions.")


def _event(value: object, source: Source) -> Submission:
    """A CloudEvent's data: an interaction if its type is Klankbord's own, else a post.

    A post that Klankbord itself published keeps its version.
    """
    event = _validated(CloudEvent, value)
    if event.type.startswith(OWN_INTERACTIONS):
        return _submission(InteractionSubmission, event.data, source, "data.")
    data = event.data
    if event.type.startswith(OWN_POSTS) and event.sequence is not None:
        data = {"sequence": event.sequence} | data
    return _submission(PostSubmission, data, source, "data.")


def _submission(
    model: type[PostSubmission] | type[InteractionSubmission],
    value: object,
    source: Source,
    prefix: str = "",
) -> Submission:
    submission: Submission = _validated(model, value, prefix)
    if problems := list(misplaced(submission, source)):
        raise _refused(problems, prefix)
    return submission


def _validated(model: type[ModelT], value: object, prefix: str = "") -> ModelT:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _refused(field_errors(error), prefix) from error


def _refused(errors: Iterable[FieldError], prefix: str) -> RefusedError:
    return RefusedError(replace(error, field=prefix + error.field) for error in errors)
