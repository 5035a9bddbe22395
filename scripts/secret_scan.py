"""Look for secrets in every file that git has or would take; `make check` runs this.

python -m scripts.secret_scan            the whole repository
python -m scripts.secret_scan FILE …     these files

It looks for the forms that secrets have: those that Klankbord makes itself (NATS seeds, webhook
secrets, passwords in addresses of databases), those of well-known services, and long literals that
a name calls a secret. It does not guess by entropy: the ids and digests of our events are as random
as keys, and of 51 places where such a scanner (detect-secrets 1.5) saw a secret none was one, while
it knows neither NATS seeds nor webhook secrets.
"""

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

NOWHERE = r"(?!(?:127\.0\.0\.1|localhost|(?:[a-z0-9-]+\.)*(?:example(?:\.[a-z]+)?|test|invalid))\b)"
"""Not at this machine, and not at a name that is reserved for examples (RFC 2606)."""
FORMS = {
    "NATS seed": r"\bS[ACNOUPX][A-Z2-7]{56}\b",
    "webhook secret": r"\bwhsec_[A-Za-z0-9+/]{20,}={0,2}",
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]",
    "password in an address": r"\b[a-z][a-z0-9+]*://[^\s:/@\"'<>{}$]+:"
    r"(?!PASSWORD@|password@|secret@)[^\s/@\"'<>{}$]{6,}@" + NOWHERE,
    "named secret": r"(?i:secret|token|password|passwd|api_?key)[\"']?\s*[:=]\s*[\"']"
    r"(?=[^\"']*[0-9])(?=[^\"']*[A-Za-z])[A-Za-z0-9+/_=-]{20,}[\"']",
    "AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "GitHub token": r"\b(?:gh[opsur]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "Google key": r"\bAIza[A-Za-z0-9_-]{35}",
    "Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "JSON Web Token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
}
PATTERN = re.compile("|".join(f"(?P<f{n}>{form})" for n, form in enumerate(FORMS.values())))
KINDS = list(FORMS)

AUDITED = {
    "58b8cc9d0ba74ea5": "a stranger whom PostgreSQL must not let in",
    "0dc12f2145bb5d57": "a role that a test makes and drops",
    "96ad2ccd81462a76": "the example of the Standard Webhooks specification",
    "49e30cd83b4277c9": "the same, in quotes",
    "829617ae8d99b875": "what the tests' own Slack signs with",
    "46eb0024c03d2db8": "what the tests' own Zulip is asked with",
}
"""What was looked at and is no secret: its fingerprint, and why."""


class Finding(NamedTuple):
    """A text that looks like a secret; the text itself is not kept, it would end in a log."""

    file: str
    line: int
    kind: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind} (fingerprint {self.fingerprint})"


def find(name: str, text: str) -> Iterator[Finding]:
    """What looks like a secret in a text, audited or not."""
    for match in PATTERN.finditer(text):
        kind = KINDS[int((match.lastgroup or "f0")[1:])]
        fingerprint = hashlib.sha256(match[0].encode()).hexdigest()[:16]
        yield Finding(name, text.count("\n", 0, match.start()) + 1, kind, fingerprint)


def scan(files: Iterable[Path]) -> list[Finding]:
    """What looks like a secret in these files; what is no text holds none that we could read."""
    return [
        found
        for file in files
        for found in find(str(file), file.read_bytes().decode("utf-8", "replace"))
    ]


def repository() -> list[Path]:
    """Every file that git has, or would take with `git add --all`.

    Raises:
        SystemExit: git does not say; says what to do.
    """
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        raise SystemExit(f"{ROOT} is no clone ({told.stderr.strip()}): name the files to look at")
    paths = (ROOT / name for name in told.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def main() -> int:
    """Exit code 1: there is a finding that nobody audited, or an audit of what is not there."""
    parser = argparse.ArgumentParser(description="Look for secrets in the repository.")
    parser.add_argument("files", nargs="*", type=Path, help="look in these alone")
    given = parser.parse_args().files
    found = scan(given or repository())
    new = [one for one in found if one.fingerprint not in AUDITED]
    for one in new:
        print(one, file=sys.stderr)
    if new:
        print(
            "Take it out and make another one of it, since git remembers. If it is none, add its "
            "fingerprint to AUDITED in scripts/secret_scan.py, with the reason.",
            file=sys.stderr,
        )
    gone = [] if given else sorted(AUDITED.keys() - {one.fingerprint for one in found})
    for fingerprint in gone:
        print(f"AUDITED names {fingerprint}, which is nowhere any more", file=sys.stderr)
    return 1 if new or gone else 0


if __name__ == "__main__":
    sys.exit(main())
