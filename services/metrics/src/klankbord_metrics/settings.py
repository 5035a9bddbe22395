"""What can be set about metrics."""

from pydantic import Field

from klankbord_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """The runtime's blocks, and how often the same windows are measured anew."""

    settle_seconds: float = Field(default=3.0, ge=0)
    """How long a community rests after it was measured, so that a busy hour or an import is not
    measured post by post. One that was quiet is measured within a second. All of them
    rest longer where measuring them takes long: five times as long."""
