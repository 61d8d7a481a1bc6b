"""One repository of a registry, as one thread asks it: documents and blobs, through its mirrors where there are any."""

import random
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from banger.model.clock import Clock
from banger.model.digest import Digest, digest_of_bytes
from banger.oci.auth import Authorizer
from banger.oci.blobs import BlobDir, Count
from banger.oci.choose import choose_image, find_image
from banger.oci.download import Fetch
from banger.oci.endpoint import Endpoint, endpoints_of, first_of, open_path
from banger.oci.errors import ContentError, RegistryError
from banger.oci.limits import PATIENCE, Patience
from banger.oci.manifest import parse_manifest, verify
from banger.oci.reference import Reference
from banger.oci.retry import Retry
from banger.oci.transport import Answer, Transport
from banger.oci.values import INDEX_TYPES, MANIFEST_LIMIT_BYTES, MANIFEST_TYPES, ImageManifest, Layer
from banger.oci.watch import Stop, Watch

_ACCEPT = ", ".join(sorted(INDEX_TYPES) + sorted(MANIFEST_TYPES))
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}\Z")
_OK = 200


@dataclass(frozen=True)
class RegistrySettings:
    """How this machine's user reaches registries: `mirrors` are base URLs by registry, tried in their order first."""

    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    patience: Patience = PATIENCE
    jitter: Callable[[], float] = random.random

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """What is believed: the machine's authorities, or those of `SSL_CERT_FILE`. One for all threads."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


class Registry:
    """A `DocumentSource` for one repository, and where its blobs come from. Of one thread; `stop` is for the others."""

    def __init__(
        self,
        reference: Reference,
        settings: RegistrySettings,
        authorizer: Authorizer,
        clock: Clock,
        stop: Stop,
    ) -> None:
        self._reference = reference
        self._settings = settings
        self._authorizer = authorizer
        self._watch = Watch(settings.patience, clock, stop)
        self._transport = Transport(self._watch, lambda: settings.tls, settings.environ)
        patience = settings.patience
        self._endpoints = endpoints_of(reference.registry, settings.mirrors, patience.tries, patience.mirror_tries)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def resolve(self) -> ImageManifest:
        """Find out what the reference means now, and return the image for this platform."""
        raw, content_type, digest = self._document(self._reference.wanted, MANIFEST_LIMIT_BYTES)
        return choose_image(self, raw, content_type, digest, str(self._reference))

    def find(self) -> Digest:
        """Find out which image for this platform the reference means now, asking for documents only, not for blobs."""
        raw, content_type, digest = self._document(self._reference.wanted, MANIFEST_LIMIT_BYTES)
        what = str(self._reference)
        return find_image(self, parse_manifest(raw, content_type, what), digest, what)

    def manifest(self, digest: Digest, limit_bytes: int) -> tuple[bytes, str]:
        """A manifest or index by digest, and its Content-Type."""
        raw, content_type, _digest = self._document(digest, limit_bytes)
        return raw, content_type

    def config(self, digest: Digest, size: int) -> bytes:
        """A config: a blob small enough for memory."""

        def ask(endpoint: Endpoint) -> bytes:
            raw = self._small(endpoint, f"blobs/{digest}", {}, size)[0]
            verify(raw, digest, f"{self._reference}: config {digest}")
            return raw

        return first_of(self._endpoints, ask)

    def fetch(self, layer: Layer, blobs: BlobDir, count: Count) -> Path:
        """Have a layer's blob as a verified file; `count` is told how many bytes of it there are."""
        retry = self._retry()
        fetch = Fetch(layer, blobs, self._watch, retry, count)
        if (path := fetch.find()) is not None:
            return path

        def ask(endpoint: Endpoint) -> Path:
            return fetch.run(lambda headers: self._open(endpoint, f"blobs/{layer.digest}", headers), endpoint.tries)

        return first_of(self._endpoints, ask)

    def _document(self, wanted: str, limit_bytes: int) -> tuple[bytes, str, Digest]:
        what = f"{self._reference.name}: {wanted}"

        def ask(endpoint: Endpoint) -> tuple[bytes, str, Digest]:
            raw, content_type, said = self._small(endpoint, f"manifests/{wanted}", {"Accept": _ACCEPT}, limit_bytes)
            digest = digest_of_bytes(raw)
            if _SHA256.match(wanted):
                verify(raw, Digest(wanted), what)
            elif _SHA256.match(said) and said != digest:
                raise ContentError(f"{what}: what was sent has the digest {digest}, the registry says {said}")
            # Read here already: behind a mirror that sends a page to log in with there is the registry.
            parse_manifest(raw, content_type, what)
            return raw, content_type, digest

        return first_of(self._endpoints, ask)

    def _small(
        self, endpoint: Endpoint, path: str, headers: Mapping[str, str], limit_bytes: int
    ) -> tuple[bytes, str, str]:
        def ask() -> tuple[bytes, str, str]:
            with self._open(endpoint, path, headers) as answer:
                if answer.status != _OK:
                    raise RegistryError(f"{answer.origin}: answers {answer.status} to a request without a range")
                raw = answer.read_all(limit_bytes, f"{self._reference.name}: {path}")
                return raw, answer.header("content-type"), answer.header("docker-content-digest")

        return self._retry().run(ask, endpoint.tries)

    def _open(self, endpoint: Endpoint, path: str, headers: Mapping[str, str]) -> Answer:
        return open_path(self._transport, self._authorizer, endpoint, self._reference.repository, path, headers)

    def _retry(self) -> Retry:
        return Retry(self._settings.patience, self._watch.clock, self._watch.stop.wait, self._settings.jitter)
