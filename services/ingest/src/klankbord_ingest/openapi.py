"""The doors, described for machines: OpenAPI 3.1, made from the models."""

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from klankbord_ingest.kind import JSON
from klankbord_ingest.submission import MAX_BATCH, InteractionSubmission, PostSubmission
from klankbord_ingest.webhook import CLOUD_EVENT, CLOUD_EVENT_BATCH

REFERENCE = "#/components/schemas/{model}"


def _schema(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=name)}


def _answer(description: str, schema: str, media_type: str = JSON) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": _schema(schema)}}}


def _problem(description: str) -> dict[str, Any]:
    return _answer(description, "Problem", "application/problem+json")


COUNT = {"type": "integer", "minimum": 0}
FIELD_ERROR = {
    "type": "object",
    "required": ["index", "field", "why", "code"],
    "properties": {
        "index": {
            "type": ["integer", "null"],
            "description": "Which submission, counted from 0; null for the whole body.",
        },
        "field": {"type": "string"},
        "why": {"type": "string", "description": "What is wrong, and what to write instead."},
        "code": {"type": "string", "description": "The same as one word, for counting."},
    },
}
SCHEMAS: dict[str, Any] = {
    "Batch": {
        "type": "object",
        "properties": {
            "posts": {
                "type": "array",
                "maxItems": MAX_BATCH,
                "items": _schema("PostSubmission"),
            },
            "interactions": {
                "type": "array",
                "maxItems": MAX_BATCH,
                "items": _schema("InteractionSubmission"),
            },
        },
    },
    "CloudEvent": {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string"},
            "source": {"type": "string"},
            "type": {"type": "string"},
            "data": _schema("PostSubmission"),
        },
    },
    "Receipt": {
        "type": "object",
        "required": ["received", "duplicate", "erased"],
        "properties": {"received": COUNT, "duplicate": COUNT, "erased": COUNT},
    },
    "ImportReceipt": {
        "type": "object",
        "required": ["received", "duplicate", "erased", "refused"],
        "properties": {
            "received": COUNT,
            "duplicate": COUNT,
            "erased": COUNT,
            "refused": {"type": "array", "items": _schema("FieldError")},
        },
    },
    "FieldError": FIELD_ERROR,
    "Problem": {
        "type": "object",
        "description": "RFC 9457, problem details.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": _schema("FieldError")},
        },
    },
}
RETRY_AFTER = {"Retry-After": {"schema": COUNT}}
PROBLEMS = {
    "401": _problem("Who sends this is not known. Nothing was stored."),
    "408": _problem("The body did not arrive in time."),
    "413": _problem("The body is too large."),
    "415": _problem("The content type is not read here."),
    "422": _problem("Something in the body is wrong; `errors` says what. Nothing was stored."),
    "429": {
        **_problem("Too much at once; try again after `Retry-After` seconds. Nothing was stored."),
        "headers": RETRY_AFTER,
    },
    "503": {
        **_problem("Not now; try again after `Retry-After` seconds. Nothing was stored."),
        "headers": RETRY_AFTER,
    },
}


def _parameter(name: str, place: str, description: str, *, required: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": description,
        "schema": {"type": "string"},
    }


WEBHOOK = {
    "summary": "Hand in posts and interactions of one source, all or nothing",
    "operationId": "receive",
    "parameters": [
        _parameter("name", "path", "The webhook source, as klankbord.yaml names it."),
        _parameter("webhook-id", "header", "The delivery; the same when it is tried again."),
        _parameter("webhook-timestamp", "header", "Now, in seconds since 1970."),
        _parameter("webhook-signature", "header", "`v1,` and the HMAC-SHA256 in base64."),
        _parameter("traceparent", "header", "W3C Trace Context.", required=False),
    ],
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "anyOf": [
                        _schema("PostSubmission"),
                        _schema("InteractionSubmission"),
                        _schema("Batch"),
                    ]
                }
            },
            CLOUD_EVENT: {"schema": _schema("CloudEvent")},
            CLOUD_EVENT_BATCH: {
                "schema": {
                    "type": "array",
                    "maxItems": MAX_BATCH,
                    "items": _schema("CloudEvent"),
                }
            },
        },
    },
    "responses": {"202": _answer("Stored, and will be told on.", "Receipt"), **PROBLEMS},
}
IMPORT = {
    "summary": "Bring in history, each submission judged by itself",
    "operationId": "import",
    "security": [{"operator": []}],
    "parameters": [
        _parameter("source", "path", "The source it is told of; need not be in klankbord.yaml."),
        _parameter("community", "query", "The community that it belongs to."),
        _parameter("platform", "query", "The platform that owns the ids.", required=False),
        _parameter("traceparent", "header", "W3C Trace Context.", required=False),
    ],
    "requestBody": {"required": True, "content": {JSON: {"schema": _schema("Batch")}}},
    "responses": {"200": _answer("What became of it.", "ImportReceipt"), **PROBLEMS},
}


@cache
def description() -> dict[str, Any]:
    """The OpenAPI document."""
    _, models = models_json_schema(
        [(PostSubmission, "validation"), (InteractionSubmission, "validation")],
        by_alias=True,
        ref_template=REFERENCE,
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Klankbord ingest",
            "version": version("klankbord-ingest"),
            "description": "Where sources hand in what a community says.",
        },
        "paths": {
            "/v1/sources/{name}": {"post": WEBHOOK},
            "/v1/import/{source}": {"post": IMPORT},
        },
        "components": {
            "schemas": models["$defs"] | SCHEMAS,
            "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}},
        },
    }
