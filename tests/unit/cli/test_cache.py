"""The cache verbs: what they ask of the daemon, what they print, and how they end."""

import json
import subprocess
import sys

import pytest

from banger.cli.amounts import age, parse_age, parse_bytes
from banger.model.errors import SpecError
from tests.fakes.installation import ROOT, Installation

LIST = """\
DIGEST        KIND               SIZE   ON DISK  USED"""


def asked(banger: Installation, call: str) -> list[object]:
    lines = (banger.state / "calls.jsonl").read_text().splitlines()
    return [argument for name, argument in map(json.loads, lines) if name == call]


def test_ls_shows_sizes_owners_and_age_and_passes_its_filters_on(banger: Installation) -> None:
    shown = banger.ok("cache", "ls", "--kind", "image.rootfs", "--older-than", "7d", "--larger-than", "1M")
    assert shown.startswith(LIST)
    assert "200.0 MiB  90.0 MiB" in shown
    assert banger.ok("cache", "ls", "--kind", "kernel", "--owner", "a b&c=d").count("\n") == 1
    assert asked(banger, "cache_list") == [
        {"kind": "image.rootfs", "older_than_s": 7 * 86400.0, "larger_than_bytes": 1 << 20, "owner": None},
        {"kind": "kernel", "older_than_s": None, "larger_than_bytes": None, "owner": "a b&c=d"},
    ]


def test_du_adds_up_by_kind(shared: Installation) -> None:
    *_, total, quarantined, free = shared.ok("cache", "du").splitlines()
    assert total.split() == ["total", "1", "200.0", "MiB", "90.0", "MiB", "90.0", "MiB"]
    assert quarantined == "quarantined: 1, 4.0 KiB"
    assert free == "free on the disk: 5.0 GiB"
    assert json.loads(shared.ok("cache", "du", "--json"))["free_bytes"] == 5 << 30


def test_an_artifact_is_pinned_and_unpinned_by_the_beginning_of_its_digest(banger: Installation) -> None:
    assert banger.ok("cache", "pin", "abab", "--note", "demo").startswith("pinned abababababab: image.rootfs debian")
    assert asked(banger, "cache_pin") == [["abab", "demo"]]
    assert "kept by:   pin" in banger.ok("cache", "show", "abab")
    assert banger.ok("cache", "unpin", "abab") == "unpinned abab\n"
    done = banger.run("cache", "unpin", "abab")
    assert done.returncode == 1
    assert "no pin begins with" in done.stderr
    assert banger.run("cache", "pin", "ffff").returncode == 1


def test_prune_says_what_would_go_and_what_it_costs_next_time(banger: Installation) -> None:
    shown = banger.ok("cache", "prune", "--dry-run", "--all").splitlines()
    assert shown[0].split() == ["KIND", "LABEL", "ARTIFACTS", "FREES", "NEXT", "TIME"]
    assert shown[1].split() == ["image.rootfs", "debian", "2", "3.0", "MiB", "41.0", "s"]
    assert shown[2:] == [
        "made again when next needed: about 41.0 s altogether",
        "would remove 2, would free 3.0 MiB",
        "kept 7.0 MiB, of which VMs and pins need 5.0 MiB",
    ]
    banger.ok("cache", "prune", "--older-than", "12h", "--max-size", "10G")
    assert asked(banger, "cache_prune") == [
        {"older_than_s": None, "max_bytes": None, "everything": True, "dry_run": True},
        {"older_than_s": 12 * 3600.0, "max_bytes": 10 << 30, "everything": False, "dry_run": False},
    ]


def test_verify_ends_with_0_if_all_is_well_1_if_repaired_and_2_if_not(banger: Installation) -> None:
    assert banger.ok("cache", "verify") == "3 objects, 9.0 MiB, 2 records in 0.50 s; all is well\n"
    banger.ok("daemon", "stop")
    found = banger.run("cache", "verify", FAKE_DAMAGE="1")
    assert found.returncode == 2
    assert found.stdout.splitlines()[0].startswith("damaged: sha256:abab")
    assert found.stdout.endswith("1 problems, 1 left\ntry: banger cache verify --repair\n")
    repaired = banger.run("cache", "verify", "--repair", "--json")
    assert repaired.returncode == 1
    assert json.loads(repaired.stdout)["problems"][0]["repaired"] is True


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["ls", "--larger-than", "much"], "'much' is not a size"),
        (["prune", "--max-size", "1.5G"], "'1.5G' is not a size"),
        (["prune", "--older-than", "1y"], "'1y' is not an age"),
        (["pin"], "Missing argument"),
    ],
)
def test_what_cannot_be_is_refused(shared: Installation, words: list[str], reason: str) -> None:
    done = shared.run("cache", *words)
    assert done.returncode in {1, 2}
    assert reason in done.stderr


def test_ages_and_sizes_are_read_and_written() -> None:
    assert parse_age("90s") == 90
    assert [parse_bytes(text) for text in ("7", "2K", "3M", "1T")] == [7, 2048, 3 << 20, 1 << 40]
    for text in ("", "-1", "5m", "1e3", "1 G"):
        with pytest.raises(SpecError):
            parse_bytes(text)
    assert [age(seconds) for seconds in (-5, 40, 61, 7300, 200_000)] == ["0 s", "40 s", "1 min", "2 h", "2 d"]


def test_a_damaged_database_is_one_line_with_the_next_command(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the real service: the fake has no database."""
    state = tmp_path_factory.mktemp("damaged")
    (state / "banger.db").write_bytes(b"what is this" * 1000)

    def banger(*words: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from banger.cli.main import main; sys.exit(main())"
        env = {"BANGER_STATE_DIR": str(state), "HOME": str(state), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, "-c", code, *words]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)

    refused = banger("cache", "ls")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        f"banger: the daemon could not be started: {state}/banger.db is damaged: file is not a database",
        "  try: banger daemon salvage",
    ]
    saved = banger("daemon", "salvage")
    assert saved.returncode == 0, saved.stderr
    assert "could not be read" in saved.stdout
    assert banger("cache", "ls", "--json").stdout == "[]\n"
    assert banger("daemon", "stop").returncode == 0
