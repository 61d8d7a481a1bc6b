"""One place that may answer for a registry, asked by one thread: authorization, status codes, tries."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from banger.model.errors import BangerError, NotFoundError, SpecError
from banger.oci.auth import Authorizer, login_error
from banger.oci.errors import AuthError, RegistryError, UnavailableError
from banger.oci.reference import DEFAULT_REGISTRY, DEFAULT_REGISTRY_HOST
from banger.oci.retry import retry_after
from banger.oci.transport import Answer, Transport
from banger.oci.urls import mirror_base, origin_of, registry_base

_Result = TypeVar("_Result")
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_GONE = frozenset({404, 410})
_ERROR_CODE = re.compile(rb'"code"\s*:\s*"([A-Z_]{1,40})"')
_ERROR_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`base` is a URL without a slash at its end; `registry` the name under which the user has credentials for it."""

    base: str
    registry: str
    tries: int
    is_mirror: bool


def endpoints_of(registry: str, mirrors: Mapping[str, Sequence[str]], tries: int, mirror_tries: int) -> list[Endpoint]:
    """The mirrors of a registry in their order, and last the registry itself. Raises SpecError for a bad mirror."""
    found = []
    for url in mirrors.get(registry, ()):
        base = mirror_base(url)
        host = base.partition("://")[2].partition("/")[0]
        found.append(Endpoint(base, host, mirror_tries, is_mirror=True))
    host = DEFAULT_REGISTRY_HOST if registry == DEFAULT_REGISTRY else registry
    found.append(Endpoint(registry_base(host), registry, tries, is_mirror=False))
    return found


def first_of(endpoints: Sequence[Endpoint], work: Callable[[Endpoint], _Result]) -> _Result:
    """Do the work with the first endpoint that can. Raises the error of the last, the registry itself, and adds why
    its mirrors could not.
    """
    faults: list[str] = []
    for endpoint in endpoints[:-1]:
        try:
            return work(endpoint)
        except BangerError as error:
            # A mirror that is down, stale or broken is what the registry behind it is for. A wrong file of credentials
            # is not the mirror's fault.
            if isinstance(error, SpecError) and not isinstance(error, NotFoundError):
                raise
            faults.append(f"mirror {endpoint.base}: {error.message}")
    try:
        return work(endpoints[-1])
    except BangerError as error:
        if faults:
            error.message = "; before that, ".join([error.message, *faults])
            error.args = (error.message,)
        raise


def open_path(
    transport: Transport,
    authorizer: Authorizer,
    endpoint: Endpoint,
    repository: str,
    path: str,
    headers: Mapping[str, str],
) -> Answer:
    """GET `/v2/REPOSITORY/PATH` once, logging in if it is asked for. Returns an answer with status 200, 206 or 416.

    Raises NotFoundError, AuthError, UnavailableError (may be tried again), RegistryError.
    """
    url = f"{endpoint.base}/v2/{repository}/{path}"
    known = authorizer.header(endpoint.base, repository, transport.watch.clock.monotonic())
    answer = transport.request("GET", url, headers, authorization=known)
    if answer.status == 401 and _is_of(answer, endpoint):  # noqa: PLR2004 - Unauthorized
        answer.drop()
        fresh = authorizer.answer(transport, answer, endpoint.base, endpoint.registry, repository)
        answer = transport.request("GET", url, headers, authorization=fresh)
        if answer.status == 401:  # noqa: PLR2004 - Unauthorized, with what it has just given us
            answer.drop()
            raise login_error(endpoint.registry, f"does not let you read {repository}")
    if answer.status not in {200, 206, 416}:
        with answer:
            raise _refusal(answer, endpoint, f"{repository}/{path}", transport)
    return answer


def _is_of(answer: Answer, endpoint: Endpoint) -> bool:
    """Whoever a registry points to may not ask for the credentials of the registry."""
    return origin_of(endpoint.base) == answer.origin


def _refusal(answer: Answer, endpoint: Endpoint, what: str, transport: Transport) -> BangerError:
    status, code = answer.status, _error_code(answer)
    said = f"{endpoint.registry}: {what}: {answer.origin} answers {status}{code}"
    if status in _GONE:
        return NotFoundError(f"{endpoint.registry}: {what}: not there{code}")
    if status in _PASSING:
        return UnavailableError(said, retry_after(answer.header("retry-after"), transport.watch.clock))
    if status in {401, 403}:
        return AuthError(said, hint=f"docker login {endpoint.registry} (or skopeo login {endpoint.registry})")
    return RegistryError(said)


def _error_code(answer: Answer) -> str:
    """The code in the body of an error, never its text: that is a stranger's, and may repeat what we sent."""
    try:
        match = _ERROR_CODE.search(answer.read_some(_ERROR_BYTES))
    except BangerError:
        return ""
    return f" ({match[1].decode('ascii')})" if match else ""
