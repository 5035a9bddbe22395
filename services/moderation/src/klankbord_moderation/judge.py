"""A policy applied to a post: which labels it gets, and why. No store, no clock."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Literal, NamedTuple, Self, TypeAlias
from uuid import UUID

from klankbord_moderation.flood import Sighting, Sightings, key
from klankbord_moderation.links import Link, links_in
from klankbord_moderation.matcher import Matcher
from klankbord_moderation.policy import Check, LinkCheck, Policy, RepeatCheck, parse_policy
from klankbord_runtime.plain_text import Folded, Span, fold
from klankbord_schemas.post import SEVERITIES, Evidence, Label, PostReceived

Field: TypeAlias = Literal["name", "content"]

MAX_EVIDENCE = 20
EVIDENCE_CHARACTERS = 200
MAX_LABELS = 100


class Heard(NamedTuple):
    """One version of a post, read once: its texts, and what floods are noticed by."""

    event: PostReceived
    post: UUID
    """The post's identity."""
    texts: Mapping[Field, Folded]
    links: tuple[tuple[Field, Link], ...]
    text_key: int | None
    """What its text is compared by; None where repeating it is nothing."""
    link_keys: frozenset[int]
    """What its links are compared by, per author."""

    @property
    def is_deleted(self) -> bool:
        """Whether this version takes the post back."""
        return self.event.data.operation == "delete"

    @property
    def keys(self) -> set[int]:
        """Everything that it is compared by."""
        return {*self.link_keys, *(() if self.text_key is None else (self.text_key,))}

    def sighting(self, of: int) -> Sighting:
        """That this post was seen with the text or link of that key."""
        return Sighting(of, self.event.data.attributed_to, self.event.counted_at)


class Judge:
    """A policy, compiled."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._matcher = Matcher(policy.rules)
        self._shortest_repeat = min((check.min_length for check in policy.repeats), default=None)
        self._fewest_repeats = min((check.count for check in policy.repeats), default=1)
        windows = [
            *(repeat.window for repeat in policy.repeats),
            *(link.window for link in policy.links if link.window is not None),
        ]
        self.longest_window = max(windows, default=timedelta())
        """How far back and ahead other posts matter."""

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read and compile a policy file.

        Raises:
            Refused: it is no policy; says what is wrong, where, and what to do.
        """
        return cls(parse_policy(body))

    def hear(self, event: PostReceived) -> Heard:
        """Read one version of a post."""
        post = event.data
        if post.operation == "delete":
            return Heard(event, post.post, {}, (), None, frozenset())
        texts: dict[Field, Folded] = {"content": fold(post.content)}
        if post.name:
            texts = {"name": fold(post.name), **texts}
        links = self._links(texts)
        if post.is_automated:  # a bot that reports each build says the same each time
            return Heard(event, post.post, texts, links, None, frozenset())
        text_key = self._text_key(event, texts)
        link_keys = self._link_keys(event, links) if links else frozenset[int]()
        return Heard(event, post.post, texts, links, text_key, link_keys)

    def labels(self, heard: Heard, sightings: Sightings) -> list[Label]:
        """The labels of one version: live before shadow, then the gravest first.

        `sightings` are those of its keys, its own among them.
        """
        labels = [
            *self._broken_rules(heard),
            *self._repeats(heard, sightings),
            *self._floods_of_links(heard, sightings),
        ]
        labels.sort(
            key=lambda label: (
                label.mode == "shadow",
                -SEVERITIES.index(label.severity),
                label.rule,
            )
        )
        return labels[:MAX_LABELS]

    def _links(self, texts: Mapping[Field, Folded]) -> tuple[tuple[Field, Link], ...]:
        if not self._policy.links:
            return ()
        return tuple(
            [(field, link) for field, text in texts.items() for link in links_in(text.original)]
        )

    def _link_keys(
        self, event: PostReceived, links: Sequence[tuple[Field, Link]]
    ) -> frozenset[int]:
        return frozenset(
            link_key
            for check in self._policy.links
            for _, link in links
            if (link_key := _link_key(check, link, event)) is not None
        )

    def _text_key(self, event: PostReceived, texts: Mapping[Field, Folded]) -> int | None:
        length = len(texts["content"].text)
        if self._shortest_repeat is None or length < self._shortest_repeat:
            return None
        return key("text", event.data.community, *(text.text for text in texts.values()))

    def _broken_rules(self, heard: Heard) -> Iterator[Label]:
        found: dict[int, list[Evidence]] = {}
        for field, text in heard.texts.items():
            for index, spans in self._matcher.broken(text).items():
                shown = found.setdefault(index, [])
                shown += (_evidence(field, text, span) for span in spans)
        for index, evidence in found.items():
            rule = self._policy.rules[index]
            if _concerns(rule, heard):
                yield _label(rule, evidence)

    def _repeats(self, heard: Heard, sightings: Sightings) -> Iterator[Label]:
        said = heard.text_key
        if said is None or sightings.times(said) < self._fewest_repeats:  # most are said once
            return
        sighting = heard.sighting(said)
        length = len(heard.texts["content"].text)
        for check in self._policy.repeats:
            is_counted = length >= check.min_length and _concerns(check, heard)
            if is_counted and _repeated(check, sighting, sightings):
                yield _label(check, [])

    def _floods_of_links(self, heard: Heard, sightings: Sightings) -> Iterator[Label]:
        for check in self._policy.links if heard.links else ():
            if _concerns(check, heard) and (flood := _flood(check, heard, sightings)):
                evidence = (
                    _evidence(field, heard.texts[field], link.span) for field, link in flood
                )
                yield _label(check, list(evidence))


def _concerns(check: Check, heard: Heard) -> bool:
    post = heard.event.data
    return check.concerns(post.community, post.source, post.language)


def _repeated(check: RepeatCheck, sighting: Sighting, sightings: Sightings) -> bool:
    if check.by == "several-authors":
        return sightings.authors(sighting, check.window) >= check.count
    return sighting.author is not None and sightings.posts(sighting, check.window) >= check.count


def _flood(check: LinkCheck, heard: Heard, sightings: Sightings) -> Sequence[tuple[Field, Link]]:
    """The links of a post that are too many, or that its author has posted too often."""
    counted = [(field, link) for field, link in heard.links if check.counts(link.domain)]
    if check.window is None:
        return counted if len({link.url for _, link in counted}) >= check.count else ()
    return [
        (field, link)
        for field, link in counted
        if (shared := _link_key(check, link, heard.event)) in heard.link_keys
        and sightings.posts(heard.sighting(shared), check.window) >= check.count
    ]


def _link_key(check: LinkCheck, link: Link, event: PostReceived) -> int | None:
    """What a link is compared by among its author's posts; None where it is not."""
    author = event.data.attributed_to
    if check.same == "post" or author is None or not check.counts(link.domain):
        return None
    place = link.domain if check.same == "domain" else link.url
    return key(check.same, event.data.community, author, place)


def _label(check: Check, evidence: list[Evidence]) -> Label:
    return Label(
        val=check.label,
        rule=check.id,
        explanation=check.explanation,
        severity=check.severity,
        mode=check.mode,
        evidence=evidence[:MAX_EVIDENCE],
    )


def _evidence(field: Field, text: Folded, span: Span) -> Evidence:
    start, end = span
    words = text.original[start:end][:EVIDENCE_CHARACTERS]
    return Evidence(field=field, start=start, end=end, text=words)
