"""What can be set about moderation: so far only what can be set about every service."""

from klankbord_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """The runtime's blocks. What is moderated stands in policy.yaml, in `config_dir`."""
