"""What can be set about routing: so far only what can be set about every service."""

from klankbord_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """The runtime's blocks. How posts are routed stands in routing.yaml, in `config_dir`."""
