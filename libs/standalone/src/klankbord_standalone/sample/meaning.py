"""What a post of the sample is meant to be. Whoever writes a text says so; no engine is asked."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["talk", "bug", "idea", "question", "complaint", "praise", "lead", "risk"]

DEPARTMENT: Mapping[Kind, str] = {
    "bug": "product",
    "idea": "product",
    "question": "support",
    "complaint": "support",
    "praise": "marketing",
    "lead": "sales",
    "risk": "management",
}
"""Who hears of what. Talk is between members."""


class Meaning(NamedTuple):
    """What one version of a post is meant to be."""

    kind: Kind = "talk"
    label: str | None = None
    """What moderation has to say of it."""
    shadow: str | None = None
    """What a rule that does not act would say of it."""
    floods: bool = False
    """Whether it is one of the posts with which an author floods the community with links."""

    @property
    def department(self) -> str | None:
        """Who has an open case of it. Nobody is bothered with what is flagged."""
        return None if self.label else DEPARTMENT.get(self.kind)


TALK = Meaning()
