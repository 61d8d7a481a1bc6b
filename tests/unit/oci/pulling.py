"""A reader of a registry that never sleeps, with little patience, for tests with servers that misbehave."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from banger.host.clock import SystemClock
from banger.oci import BlobDir, ImageManifest, RegistrySettings, parse_reference
from banger.oci.auth import Authorizer
from banger.oci.credentials import Credential, Credentials, NoCredentials
from banger.oci.limits import Patience
from banger.oci.registry import Registry
from banger.oci.watch import Stop
from tests.fakes.badserver import BadServer, serving
from tests.fakes.images import Image, digest

PATIENCE = Patience(connect_s=5.0, head_s=5.0, document_s=5.0, stall_s=5.0, tick_s=0.02)
IMPATIENT = replace(PATIENCE, head_s=0.25, document_s=0.25, stall_s=0.2, stall_bytes=1024)
REPOSITORY = "team/app"


class CountingStop(Stop):
    """Does not sleep: it writes down for how long it was asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.check()
        self.waits.append(seconds)


@dataclass
class FixedCredentials:
    """Credentials by registry; `asked` has who wanted some."""

    known: dict[str, Credential]
    asked: list[str] = field(default_factory=list)

    def find(self, registry: str, repository: str, stop: Stop) -> Credential | None:
        assert repository
        stop.check()
        self.asked.append(registry)
        return self.known.get(registry)


def put_image(server: BadServer, image: Image, tag: str = "1") -> None:
    """Have the server serve an image as registries do."""
    content_type = str(image.manifest.get("mediaType", ""))
    for name in (tag, image.digest):
        server.on(manifest_path(name), serving(image.raw, content_type))
    for name, data in image.blobs.items():
        server.on(blob_path(name), serving(data))


def manifest_path(name: str) -> str:
    return f"/v2/{REPOSITORY}/manifests/{name}"


def blob_path(name: str | bytes) -> str:
    return f"/v2/{REPOSITORY}/blobs/{name if isinstance(name, str) else digest(name)}"


@dataclass
class Puller:
    """Pulls `team/app` from a server into a directory of its own."""

    server: BadServer
    root: Path
    patience: Patience = PATIENCE
    credentials: Credentials = field(default_factory=NoCredentials)
    mirrors: dict[str, list[str]] = field(default_factory=dict)
    stop: CountingStop = field(default_factory=CountingStop)
    counts: list[int] = field(default_factory=list)

    def registry(self, tag: str = ":1") -> Registry:
        settings = RegistrySettings(mirrors=self.mirrors, patience=self.patience, jitter=lambda: 1.0)
        reference = parse_reference(f"{self.server.host}/{REPOSITORY}{tag}")
        return Registry(reference, settings, Authorizer(self.credentials), SystemClock(), self.stop)

    @property
    def blobs(self) -> BlobDir:
        return BlobDir(self.root / "blobs")

    def resolve(self, tag: str = ":1") -> ImageManifest:
        registry = self.registry(tag)
        try:
            return registry.resolve()
        finally:
            registry.close()

    def pull(self, tag: str = ":1") -> list[Path]:
        """Resolve and fetch every layer."""
        registry = self.registry(tag)
        try:
            image = registry.resolve()
            return [registry.fetch(layer, self.blobs, self.counts.append) for layer in image.layers]
        finally:
            registry.close()

    def written(self) -> list[str]:
        """Every file below the root, and that it is where it may be."""
        found = sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir())
        assert all(name.startswith(("blobs/sha256/", "blobs/partial/", "blobs/bad/")) for name in found), found
        return found
