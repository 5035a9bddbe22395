"""What is wrong with a file that someone wrote, so that they can put it right."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what, and what to do about it."""

    wrong: str
    """What is wrong: `'hgh' is none of low, medium, high, critical`."""
    fix: str = ""
    """What to do: `did you mean high?`. Empty where `wrong` already tells."""
    line: int | None = None
    """Where, counted from 1; None where the whole file is meant."""
    place: str = ""
    """Where, as a path of names: `rules[3].severity`."""

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        place = f"{self.place}: " if self.place else ""
        fix = f"; {self.fix}" if self.fix else ""
        return f"{where}{place}{self.wrong}{fix}"


class Refused(ValueError):  # noqa: N818 - what became of the file, not an error of ours
    """A file cannot be accepted. Its text is one line per problem."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)
