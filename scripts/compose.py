"""Reads a docker-compose.yml as strictly as `docker compose config` does, without Docker.

python -m scripts.compose docker-compose.yml
"""

import json
import sys
from pathlib import Path

import compose_spec
import yaml


def refused(text: str) -> str | None:
    """Why compose would refuse this file; None if it would not."""
    try:
        # by way of JSON: the anchors and merges of YAML are resolved then
        compose_spec.PyCompose.from_json(json.dumps(yaml.safe_load(text))).validate()
    except (ValueError, yaml.YAMLError) as error:
        return str(error)
    return None


def main(files: list[str]) -> int:
    """Exit status 1 when a file is refused."""
    reasons = {file: refused(Path(file).read_text("utf-8")) for file in files}
    for file, reason in reasons.items():
        if reason is not None:
            print(f"{file}: {reason}", file=sys.stderr)
    return int(any(reason is not None for reason in reasons.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
