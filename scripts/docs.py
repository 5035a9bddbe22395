"""Write what is generated from the code: docs/asyncapi.yaml, events.md, events.html, schemas,
sources/README.md, the metrics in telemetry.md.

make docs                          write docs/
python -m scripts.docs --check     write nothing; name what is stale
python -m scripts.docs --schemas   also write libs/schemas/golden; never breaks a stored schema
"""

import argparse
import sys
from pathlib import Path

from scripts.asyncapi import asyncapi
from scripts.catalogue import catalogue
from scripts.golden import as_json, broken_promises, published_schema, schema_file
from scripts.metrics import with_metrics
from scripts.page import page
from scripts.sources_index import PAGES, index

from klankbord_schemas import EVENTS

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Write or check. Exit code 1: something is stale, or a stored schema would be broken."""
    parser = argparse.ArgumentParser(description="Write what is generated from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    parser.add_argument("--schemas", action="store_true", help="also write the stored schemas")
    arguments = parser.parse_args()
    if arguments.schemas and (problems := broken_promises()):
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    docs = ROOT / "docs"
    telemetry = docs / "telemetry.md"
    texts = {
        docs / "asyncapi.yaml": asyncapi(),
        docs / "events.md": catalogue(),
        docs / "events.html": page(),
        PAGES / "README.md": index(),
        telemetry: with_metrics(telemetry.read_text("utf-8")),
        **{published_schema(event): as_json(event.json_schema()) for event in EVENTS},
    }
    if arguments.schemas:
        texts |= {schema_file(event): as_json(event.json_schema()) for event in EVENTS}
    stale = {path: text for path, text in texts.items() if not _holds(path, text)}
    for path, text in stale.items():
        print("stale:" if arguments.check else "wrote:", path.relative_to(ROOT))
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    return 1 if stale and arguments.check else 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
