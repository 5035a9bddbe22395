"""White space, which nobody means anything by."""


def single_spaced(text: str) -> str:
    """The text with one space wherever there was white space, and none at either end."""
    # the space is the only white space that can be printed: most texts of one line have no other,
    # and to look costs a third of taking them apart
    if text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join(text.split())
