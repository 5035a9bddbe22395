"""When something counts: by what its platform says, or by when it was heard."""

from datetime import datetime
from typing import Literal

PublishedTrust = Literal["attested", "claimed"]
"""Whether `published` is what we may count by, or what anyone may have written there."""


def counted_at(published: datetime, trust: PublishedTrust, recordedtime: datetime) -> datetime:
    """The moment something is counted under: when published if attested, else when heard."""
    return published if trust == "attested" else recordedtime
