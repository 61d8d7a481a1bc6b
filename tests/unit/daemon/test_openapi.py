"""The daemon keeps to docs/openapi.json, whatever it is asked: requests made from the document, right and wrong.

Schemathesis makes them; each answer must have a status, a type and a body that the document knows, a wrong request must
be refused, and none may be a bug's.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fakes.bridge import bridged
from tests.fakes.installation import ROOT, Installation, installed

DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
LEFT_OUT = {
    "POST /v1/shutdown",  # ends the daemon: tests/unit/daemon/test_daemon.py
    "POST /v1/vms/{ref}/exec",  # two streams, not documents: tests/unit/cli/test_exec.py
    "GET /v1/vms/{ref}/session",  # is answered for as long as it is held
}
TESTED = sorted(set(OPERATIONS) - LEFT_OUT)


def _can_be_wrong(operation: dict[str, Any]) -> bool:
    """Of a path, no text is wrong; it only leads to nothing."""
    return "requestBody" in operation or any(one["in"] == "query" for one in operation.get("parameters", []))


ASKED = [
    pytest.param(label, mode, id=f"{label}, {mode}")
    for label in TESTED
    for mode in ("right", "wrong")
    if mode == "right" or _can_be_wrong(OPERATIONS[label])
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, str]]:
    """A daemon, and the URL of its API."""
    with installed(tmp_path_factory.mktemp("openapi")) as banger:
        banger.ok("vm", "create", "--name", "box")
        with bridged(banger.paths) as url:
            yield banger, url


def _ask(daemon: tuple[Installation, str], label: str, mode: str, examples: int) -> None:
    import schemathesis  # takes seconds, which only these tests should cost
    from schemathesis import checks

    banger, url = daemon
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    results: list[Any] = list(schema.get_all_operations())
    (operation,) = (one for result in results if (one := result.ok()).label == label)
    modes = {"right": schemathesis.GenerationMode.POSITIVE, "wrong": schemathesis.GenerationMode.NEGATIVE}
    wanted = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        *([checks.negative_data_rejection] if mode == "wrong" else []),
    ]

    @given(case=operation.as_strategy(modes[mode]))
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=url, checks=wanted, timeout=20)

    ask()
    assert "Traceback" not in _log(banger)


def _log(banger: Installation) -> str:
    return Path(banger.paths.daemon_log).read_text()


def test_everything_is_asked_but_what_is_tested_elsewhere() -> None:
    assert set(OPERATIONS) >= LEFT_OUT
    assert len(TESTED) > 20


@pytest.mark.parametrize(("label", "mode"), ASKED)
def test_the_daemon_answers_as_its_document_says(daemon: tuple[Installation, str], label: str, mode: str) -> None:
    _ask(daemon, label, mode, 6)


@pytest.mark.nightly
@pytest.mark.parametrize(("label", "mode"), ASKED)
def test_the_daemon_answers_so_very_many_times(daemon: tuple[Installation, str], label: str, mode: str) -> None:
    _ask(daemon, label, mode, 300)
