"""LinkedIn: what notifications say, and who may send them."""

import json
from datetime import UTC, datetime
from hmac import digest
from typing import Any

import pytest

from klankbord_ingest.kind import Page, PostSubmission, RefusedError, Request, Source, UnsignedError
from klankbord_ingest.kinds.linkedin import LinkedIn
from klankbord_schemas.community import Community

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
STAMP = int(AT.timestamp()) * 1000
ORGANIZATION, POST = "urn:li:organization:2414183", "urn:li:activity:7094637247890620418"
COMMENT = f"urn:li:comment:({POST},7094977717598625792)"
SECRETS = {"signature": [b"the-client-secret", b"the-one-before-it"]}
CHALLENGE = "890e4665-4dfe-4ab1-b689-ed553bceeed0"


def kind() -> LinkedIn:
    given = {"name": "li", "community": "demo", "kind": "linkedin", "organization": ORGANIZATION}
    return LinkedIn.model_validate(given)


def request(body: bytes, signature: str | None = None) -> Request:
    headers = [] if signature is None else [(b"x-li-signature", signature.encode("latin-1"))]
    return Request("POST", "", {}, headers, body)


def asked(challenge: str) -> Request:
    return Request("GET", "", {"challengeCode": challenge}, [], b"")


def read(document: Any) -> Page:
    home = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))
    source = Source("li", home, "linkedin", kind().own_platform, "attested", None, kind())
    return kind().read(request(json.dumps(document).encode()), source, AT)


def told(*notifications: Any) -> Page:
    kind_of = "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"
    return read({"type": kind_of, "notifications": notifications})


def notification(action: str = "COMMENT", **fields: Any) -> dict[str, Any]:
    comment = {"entity": COMMENT, "owner": "urn:li:person:abc", "object": POST, "text": "Nice!"}
    common = {"notificationId": 5603453321, "organizationalEntity": ORGANIZATION, "action": action}
    more = {"sourcePost": POST, "lastModifiedAt": STAMP, "generatedActivity": COMMENT}
    return {**common, **more, "decoratedGeneratedActivity": {"comment": comment}, **fields}


def post(page: Page) -> PostSubmission:
    assert not page.refused
    [said] = page.submissions
    assert isinstance(said, PostSubmission)
    return said


def test_a_comment_is_a_post_in_the_thread_of_what_it_is_on() -> None:
    said = post(told(notification()))
    assert (said.native_id, said.content, said.published) == (COMMENT, "Nice!", AT)
    assert (said.context, said.in_reply_to, said.operation) == (POST, POST, "create")
    assert said.url == f"https://www.linkedin.com/feed/update/{POST}"
    assert said.attributed_to is not None
    assert (said.attributed_to.id, said.attributed_to.type) == ("urn:li:person:abc", "Person")


def test_a_reply_answers_the_comment_that_it_is_on() -> None:
    inner = {"entity": f"urn:li:comment:({POST},9)", "object": COMMENT, "text": "Thanks"}
    said = post(told(notification(decoratedGeneratedActivity={"comment": inner})))
    assert (said.context, said.in_reply_to) == (POST, COMMENT)


def test_an_edit_and_a_delete_are_of_the_same_id_however_the_urn_is_written() -> None:
    edit = post(told(notification("COMMENT_EDIT")))
    assert (edit.native_id, edit.operation, edit.updated) == (COMMENT, "update", AT)
    short = COMMENT.replace("(urn:li:activity:", "(activity:")
    gone = notification("COMMENT_DELETE", generatedActivity=short)
    del gone["decoratedGeneratedActivity"]
    said = post(told(gone))
    assert (said.native_id, said.operation, said.content) == (COMMENT, "delete", "")


def test_the_organization_itself_is_one() -> None:
    own = {"entity": COMMENT, "owner": ORGANIZATION, "text": "Thank you"}
    said = post(told(notification("ADMIN_COMMENT", decoratedGeneratedActivity={"comment": own})))
    assert said.attributed_to is not None
    assert said.attributed_to.type == "Organization"


@pytest.mark.parametrize("action", ["SHARE", "SHARE_MENTION"])
def test_a_share_with_words_is_a_post(action: str) -> None:
    share = {"entity": "urn:li:share:7", "owner": "urn:li:person:abc", "text": "Read this"}
    said = post(told(notification(action, decoratedGeneratedActivity={"share": share})))
    assert (said.native_id, said.content) == ("urn:li:share:7", "Read this")


def test_what_is_none_of_our_business_is_passed_over() -> None:
    page = told(
        notification("LIKE"),
        notification("SHARE", decoratedGeneratedActivity=None),
        notification(decoratedGeneratedActivity={}),
        notification(organizationalEntity="urn:li:organization:1"),
        notification("SOMETHING_NEW"),
    )
    assert page.passed_over == {
        "anonymous": 1,
        "no_text": 2,
        "other_organization": 1,
        "no_post": 1,
    }
    assert not page.refused


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        {},
        notification(lastModifiedAt="soon"),
        notification(lastModifiedAt=10**40),
        notification(sourcePost=None),
        notification(decoratedGeneratedActivity=["comment"]),
        notification(decoratedGeneratedActivity={"comment": {"text": "no \x00", "entity": "u"}}),
    ],
)
def test_a_malformed_notification_is_refused_alone(bad: Any) -> None:
    page = told(bad, notification())
    assert [error.index for error in page.refused] == [0]
    assert len(page.submissions) == 1


@pytest.mark.parametrize("document", [None, [], {}, {"type": "LEAD_ACTION", "notifications": []}])
def test_another_body_is_refused(document: Any) -> None:
    with pytest.raises(RefusedError):
        read(document)


def signature(key: bytes, body: bytes) -> str:
    return digest(key, b"hmacsha256=" + body, "sha256").hex()


def test_the_signature_of_a_client_secret_is_right() -> None:
    for key in SECRETS["signature"]:
        assert kind().verify(request(b"{}", signature(key, b"{}")), SECRETS, AT) is None


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        signature(b"another", b"{}"),
        signature(b"the-client-secret", b"{ }"),
        digest(b"the-client-secret", b"{}", "sha256").hex(),
        "hmacsha256=" + signature(b"the-client-secret", b"{}"),
        "\xff",
    ],
)
def test_any_other_signature_is_refused(given: str | None) -> None:
    with pytest.raises(UnsignedError):
        kind().verify(request(b"{}", given), SECRETS, AT)


def test_a_doubled_signature_and_a_source_without_secret_are_refused() -> None:
    right = signature(b"the-client-secret", b"{}").encode()
    twice = Request("POST", "", {}, [(b"x-li-signature", right)] * 2, b"{}")
    with pytest.raises(UnsignedError):
        kind().verify(twice, SECRETS, AT)
    nothing: dict[str, list[bytes]] = {"signature": []}
    for asking in (request(b"{}", signature(b"", b"{}")), asked(CHALLENGE)):
        with pytest.raises(UnsignedError):
            kind().verify(asking, nothing, AT)


def test_a_handshake_gets_its_challenge_signed() -> None:
    kind().verify(asked(CHALLENGE), SECRETS, AT)
    reply = kind().answer(asked(CHALLENGE), SECRETS, AT)
    assert reply is not None
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert json.loads(reply.body) == {
        "challengeCode": CHALLENGE,
        "challengeResponse": digest(b"the-client-secret", CHALLENGE.encode(), "sha256").hex(),
    }
    assert kind().answer(request(b"{}"), SECRETS, AT) is None


@pytest.mark.parametrize(
    "challenge", ["", "hmacsha256={}", f"{CHALLENGE}\n", f"hmacsha256={CHALLENGE}"]
)
def test_nothing_but_a_uuid_is_signed(challenge: str) -> None:
    """Else a stranger would have us sign the notification that they send next."""
    with pytest.raises(UnsignedError):
        kind().verify(asked(challenge), SECRETS, AT)
