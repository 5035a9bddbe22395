"""A short link: its code, where it leads, and what a click on it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, StringConstraints, model_validator

from klankbord_ingest.links.address import MAX_PARAMETER, checked, joined
from klankbord_ingest.visits.channel import Campaign, campaign_of
from klankbord_schemas.event import Data
from klankbord_schemas.types import WITHOUT_NUL, NativeId, Slug

SIGNS = "23456789abcdefghjkmnpqrstuvwxyz"
"""What codes are made of: nothing that is mistaken for something else when it is read aloud."""
CODE_LENGTH = 8
"""31⁸ are 850,000,000,000: nobody finds one by trying."""

OWN_SOURCE = "links"
"""The source of clicks on a link that belongs to none."""


def _address(value: str) -> str:
    return checked(value.strip())


Parameter = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=MAX_PARAMETER, pattern=WITHOUT_NUL),
]
"""A parameter of a campaign; empty where there is none."""


class LinkOffer(Data):
    """A link that the operator asks for."""

    url: Annotated[str, StringConstraints(max_length=4000), AfterValidator(_address)]
    """Where it is to lead."""
    community: Slug
    """The community that a click on it counts for."""
    source: Slug | None = None
    """The source that a click belongs to, and whose post it is; `links` where it is left out."""
    post: NativeId | None = None
    """The native id of the post that the link stands in."""
    campaign: Parameter = ""
    """Joined as `utm_campaign`."""
    utm_source: Parameter = ""
    utm_medium: Parameter = ""
    utm_content: Parameter = ""
    code: Slug | None = None
    """The word in its address; one is made where it is left out."""

    @property
    def target(self) -> str:
        """Where it leads, with the campaign's parameters.

        Raises:
            ValueError: they cannot be joined.
        """
        return joined(
            self.url,
            {
                "utm_source": self.utm_source,
                "utm_medium": self.utm_medium,
                "utm_campaign": self.campaign,
                "utm_content": self.utm_content,
            },
        )

    @model_validator(mode="after")
    def _can_be_joined(self) -> Self:
        _ = self.target
        return self


@dataclass(frozen=True)
class Link:
    """A link that there is."""

    code: str
    community: str
    source: str
    url: str
    """Where it leads, as it was asked for."""
    target: str
    """Where it leads, with the campaign's parameters: what is answered, sign by sign."""
    post: str | None
    made: datetime
    changed: datetime
    disabled: datetime | None = None

    @property
    def campaign(self) -> Campaign:
        """The campaign that its address names."""
        return campaign_of(self.target)

    def says_the_same(self, other: "Link") -> bool:
        """Whether to ask for the other is to ask for this one again."""
        return (self.community, self.source, self.target, self.post) == (
            other.community,
            other.source,
            other.target,
            other.post,
        )


def link_of(offer: LinkOffer, choose: Callable[[str], str], now: datetime) -> Link:
    """The link that is asked for.

    Args:
        offer: what was asked for.
        choose: picks one of these signs, so that nobody can tell which.
        now: when it is made.
    """
    return Link(
        code=offer.code or "".join(choose(SIGNS) for _ in range(CODE_LENGTH)),
        community=offer.community,
        source=offer.source or OWN_SOURCE,
        url=offer.url,
        target=offer.target,
        post=offer.post,
        made=now,
        changed=now,
    )
