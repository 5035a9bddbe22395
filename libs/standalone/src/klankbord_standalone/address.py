"""Addresses as they may be shown: a URI may name a user and a password."""

import re

NAMED = re.compile(r"(?<=://)[^\s/]*@")


def without_users(text: str) -> str:
    """The text, with every URI in it as it is without the user and the password that it names."""
    return NAMED.sub("", text)
