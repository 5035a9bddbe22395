"""Write deploy/grafana/dashboards from the code.

make dashboards                       write them
python -m scripts.dashboards --check  write nothing; name what is stale
"""

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from scripts.dashboards import capacity, community, moderation, pipeline, routing, sources

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
BOARDS = (community, moderation, routing, sources, pipeline, capacity)


def dashboards() -> dict[str, str]:
    """Each dashboard as JSON, by the name of its file."""
    made = {}
    for board in BOARDS:
        text = json.dumps(
            board.dashboard().build(), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True
        )
        made[f"{board.__name__.rpartition('.')[2]}.json"] = f"{text}\n"
    return made


def main() -> int:
    """Write or check. Exit code 1: something is stale."""
    parser = argparse.ArgumentParser(description="Write deploy/grafana/dashboards from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    arguments = parser.parse_args()
    made = dashboards()
    stored = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    stale = [name for name in sorted({*made, *stored}) if made.get(name) != stored.get(name)]
    for name in stale:
        print("stale:" if arguments.check else "wrote:", f"deploy/grafana/dashboards/{name}")
        if arguments.check:
            continue
        if name in made:
            (FOLDER / name).write_text(made[name], "utf-8")
        else:
            (FOLDER / name).unlink()
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
