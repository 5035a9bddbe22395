"""The fields of a post or interaction as a table has them: one cell each."""

from pydantic_core import from_json

from klankbord_ingest.submission import InteractionSubmission, PostSubmission

TIMES = frozenset({"published", "updated"})
LISTS = frozenset({"tag", "mention", "link"})
KNOWN = frozenset(
    {"id"}
    | {field.alias or name for name, field in PostSubmission.model_fields.items()}
    | {field.alias or name for name, field in InteractionSubmission.model_fields.items()}
    | {"nativeId"}
    | {f"attributedTo.{field}" for field in ("id", "name", "preferredUsername", "type", "icon")}
)


def listed(cell: str) -> object:
    """A JSON list, or words between commas, semicolons or bars."""
    if cell.startswith("["):
        try:
            return from_json(cell)
        except ValueError:
            return cell
    for mark in ";|":
        cell = cell.replace(mark, ",")
    return [tag.strip() for tag in cell.split(",") if tag.strip()]
