"""Log in to registries: Basic, and the token service of Docker's registries.

Sources: distribution "Token Authentication Specification" and "OAuth2 Token Authentication". What a registry's
challenge can do with a user's secret is bounded: the token service is asked over TLS (or on this machine, by a registry
on this machine), for reading only, and only with the credential that the user has for *that registry*.
"""

import re
import threading
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlencode

import msgspec

from banger.oci.challenge import Challenge, parse_challenges
from banger.oci.credentials import Credential, Credentials
from banger.oci.document import read_document, shape
from banger.oci.errors import AuthError, RegistryError, UnavailableError, shown
from banger.oci.retry import retry_after
from banger.oci.transport import Answer, Transport
from banger.oci.urls import check_step, origin_of

_TOKEN_LIMIT_BYTES = 256 * 1024
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}\Z")
_SCOPE = re.compile(r"repository:([a-z0-9]+(?:[/._-]+[a-z0-9]+)*):[a-z,*]*pull[a-z,*]*\Z")
_SCOPE_CHARS = 400
_DEFAULT_LIFE_S = 60.0
_LONGEST_LIFE_S = 3600.0
_MARGIN = 0.9
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_CLIENT = "banger"


class _TokenReply(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""
    expires_in: Annotated[float, msgspec.Meta(ge=0)] | None = None


@dataclass(frozen=True, slots=True)
class _Pass:
    header: str = field(repr=False)
    until: float


class Authorizer:
    """What all threads of one pull know: who may ask for what, and until when. Thread-safe."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._passes: dict[tuple[str, str], _Pass] = {}
        self._lock = threading.Lock()

    def header(self, base: str, repository: str, now: float) -> str | None:
        """The `Authorization` that was good lately for a repository below a base URL."""
        with self._lock:
            found = self._passes.get((base, repository))
        return found.header if found and now < found.until else None

    def answer(self, transport: Transport, refused: Answer, base: str, registry: str, repository: str) -> str:
        """Return an `Authorization` for a request that was refused with 401.

        Raises AuthError when the user has no credential and none is given without, or it is not accepted.
        """
        challenges = parse_challenges(refused.headers("www-authenticate"))
        credential = self._credentials.find(registry, repository, transport.watch.stop)
        now = transport.watch.clock.monotonic()
        bearer = next((each for each in challenges if each.scheme == "bearer" and each.get("realm")), None)
        if credential is not None and credential.kind == "bearer":
            found = _Pass(f"Bearer {_checked(credential.secret, registry)}", now + _DEFAULT_LIFE_S)
        elif bearer is not None:
            found = self._exchange(transport, bearer, base, registry, repository, credential)
        elif any(each.scheme == "basic" for each in challenges):
            if credential is None or credential.kind != "password":
                raise login_error(registry, "wants a user name and a password")
            found = _Pass(credential.basic(), now + _LONGEST_LIFE_S)
        else:
            schemes = ", ".join(each.scheme for each in challenges) or "no way at all"
            raise AuthError(f"{registry}: wants credentials by {shown(schemes)}; banger knows Basic and Bearer")
        with self._lock:
            self._passes[base, repository] = found
        return found.header

    def _exchange(
        self,
        transport: Transport,
        challenge: Challenge,
        base: str,
        registry: str,
        repository: str,
        credential: Credential | None,
    ) -> _Pass:
        realm = challenge.get("realm")
        origin, service = origin_of(realm), origin_of(base)
        if origin != service:
            check_step(service, origin)
        form = {"service": challenge.get("service"), "scope": _scope(challenge, repository)}
        form = {key: value for key, value in form.items() if value}
        if credential is not None and credential.kind == "identity":
            body = {**form, "grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": credential.secret}
            answer = transport.request(
                "POST",
                realm,
                {"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(body).encode("ascii"),
            )
        else:
            url = realm.partition("#")[0]
            url += ("&" if "?" in url else "?") + urlencode(form)
            answer = transport.request("GET", url, {}, authorization=credential.basic() if credential else None)
        with answer:
            return _read_token(answer, transport, registry, has_login=credential is not None)


def login_error(registry: str, reason: str) -> AuthError:
    """An error that says how to log in."""
    return AuthError(f"{registry}: {reason}", hint=f"docker login {registry} (or skopeo login {registry})")


def _scope(challenge: Challenge, repository: str) -> str:
    """What the token is to be good for: reading the repository, under the name that the registry has for it."""
    scope = challenge.get("scope")
    match = _SCOPE.match(scope) if len(scope) <= _SCOPE_CHARS else None
    return f"repository:{match[1] if match else repository}:pull"


def _read_token(answer: Answer, transport: Transport, registry: str, *, has_login: bool) -> _Pass:
    clock = transport.watch.clock
    what = f"the token service {answer.origin} of {registry}"
    if answer.status in {400, 401, 403}:
        raise login_error(registry, "does not accept your credentials" if has_login else "wants credentials")
    if answer.status in _PASSING:
        asked = retry_after(answer.header("retry-after"), clock)
        raise UnavailableError(f"{what}: answers {answer.status}", asked)
    if answer.status != 200:  # noqa: PLR2004 - OK
        raise RegistryError(f"{what}: answers {answer.status}")
    reply = shape(read_document(answer.read_all(_TOKEN_LIMIT_BYTES, what), what, _TOKEN_LIMIT_BYTES), _TokenReply, what)
    token = _checked(reply.token or reply.access_token, registry)
    life = min(reply.expires_in if reply.expires_in is not None else _DEFAULT_LIFE_S, _LONGEST_LIFE_S)
    return _Pass(f"Bearer {token}", clock.monotonic() + life * _MARGIN)


def _checked(token: str, registry: str) -> str:
    """A token becomes part of a header: it must not be able to end it."""
    if not _TOKEN.match(token):
        raise AuthError(f"{registry}: its token service gave no token")
    return token
