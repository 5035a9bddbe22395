"""The feeds: over a local HTTP server through the kind, and beside what they say of themselves."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field

from scripts.replay.compared import differences
from scripts.replay.expectations import expectation_of
from scripts.replay.playing import NOW, File, address_of, source_of_kind

from klankbord_ingest.feeds.document import UnreadableFeedError
from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.kind import Page
from klankbord_ingest.kinds.feed import Feed
from klankbord_ingest.web import Web

GOAL = 0.99
"""The part of the documents that say something of an entry's fields which must be read so."""


async def heard(file: File, home: str, web: Web) -> AsyncGenerator[Page, None]:
    """A feed as the kind hears it, and again with the cursor: then it must be as it was."""
    entry = source_of_kind("feed", url=address_of(home, file)).entry
    assert isinstance(entry, Feed)
    page = await entry.fetch(web, {}, NOW)
    yield page
    again = await entry.fetch(web, page.cursor or {}, NOW)
    assert not again.submissions, "an unchanged feed was heard twice"


@dataclass
class Comparison:
    """How many documents are read as their own `Expect:` line says."""

    counts: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    """How many values of each field were compared."""
    different: list[str] = field(default_factory=list)
    """What differs, one line each."""

    @property
    def is_good(self) -> bool:
        """Whether the goal is reached."""
        return self.counts["equal"] >= GOAL * self.counts["applicable"]

    def lines(self) -> list[str]:
        """What is told of it."""
        equal, applicable = self.counts["equal"], self.counts["applicable"]
        part = f"{equal / applicable:.1%}" if applicable else "none"
        fields = ", ".join(f"{name} {count}" for name, count in self.fields.most_common())
        left_out = (
            f"Not counted: {self.counts['not_applicable']} documents whose line names no title, "
            f"link, id, author or date of an entry; {self.counts['bozo']} whose line calls them "
            f"ill-formed; {self.counts['silent']} without such a line."
        )
        return [
            f"Read as their own Expect: line says: {equal} of {applicable} documents ({part}).",
            f"Values compared: {fields or 'none'}.",
            left_out,
            *(f"Different: {line}" for line in self.different),
        ]


def compared(files: Iterable[File], reader: FeedReader) -> Comparison:
    """Each document beside what it says of itself, read as ingest reads it."""
    comparison = Comparison()
    for file in files:
        body = file.body
        expectation = expectation_of(body)
        if expectation is None:
            comparison.counts["silent"] += 1
        elif not expectation.is_well_formed:
            comparison.counts["bozo"] += 1
        elif not expectation.claims:
            comparison.counts["not_applicable"] += 1
        else:
            comparison.counts["applicable"] += 1
            comparison.fields.update(claim.field for claim in expectation.claims)
            try:
                found = list(differences(expectation, body, reader.read(body)))
            except UnreadableFeedError as error:
                comparison.different.append(f"{file.name}: refused, {error.code}")
                continue
            comparison.counts["equal"] += not found
            comparison.different += [
                f"{file.name}: {one.claim.field} is {one.given!r:.120}, "
                f"the line says {one.claim.value!r:.120}"
                for one in found
            ]
    return comparison
