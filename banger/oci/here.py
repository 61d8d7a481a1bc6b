"""Image sources as this machine reaches them: with the mirrors that its user has set, and the user's environment."""

import os
from collections.abc import Mapping

from banger.host.config_file import user_config
from banger.model.clock import Clock
from banger.model.errors import SpecError
from banger.oci.registry import RegistrySettings
from banger.oci.source import ImageSource, open_source

MIRRORS = "BANGER_REGISTRY_MIRRORS"
"""Environment variable: ``REGISTRY=URL``, several by spaces; the same registry again is its next mirror."""


def source_here(text: str, clock: Clock) -> ImageSource:
    """Read what the user wrote. Nothing is opened or asked yet. Raises SpecError."""
    return open_source(text, settings_here(), clock)


def settings_here() -> RegistrySettings:
    """The mirrors of the configuration, and before them those of the environment. Raises SpecError."""
    settings = settings_from(os.environ)
    mirrors = {name: list(urls) for name, urls in settings.mirrors.items()}
    for name, urls in user_config().mirrors.items():
        mirrors.setdefault(name, []).extend(urls)
    return RegistrySettings(mirrors, settings.environ)


def settings_from(environ: Mapping[str, str]) -> RegistrySettings:
    """Read the settings. Raises SpecError for a mirror that is none."""
    mirrors: dict[str, list[str]] = {}
    for word in environ.get(MIRRORS, "").split():
        registry, _, url = word.partition("=")
        if not registry or not url.startswith(("http://", "https://")):
            raise SpecError(f"{MIRRORS}: {word[:120]!r} is not REGISTRY=URL", hint=f"{MIRRORS}=docker.io=https://HOST")
        mirrors.setdefault(registry, []).append(url)
    return RegistrySettings(mirrors, environ)
