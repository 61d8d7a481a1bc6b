"""The configuration, for the command line: read once, when something first asks."""

import os
from functools import cache

from banger.host.config_file import load_config
from banger.model.config import Config
from banger.model.errors import BangerError


@cache
def configured() -> Config:
    """The user's configuration. Raises SpecError if there is something wrong with it."""
    return load_config(os.environ)


def configured_for_help() -> Config:
    """The same for who only writes help: with a configuration that is wrong, as if there were none."""
    try:
        return configured()
    except BangerError:
        return Config("")
