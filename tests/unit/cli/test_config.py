"""`config show` and `config check`, and that commands do as is configured."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from banger.cli.doctor import _architecture
from banger.cli.sizes import defaults_for, vm_defaults
from banger.host.config_file import load_config
from tests.fakes.installation import ROOT, Installation

EVERYTHING = """\
ssh_key_path = "~/key"
[vm_defaults]
image = "other"
vcpu = 5
memory = "640M"
disk_size = "3G"
[mirrors]
"docker.io" = ["https://mirror.example.org"]
[[file_sync]]
host = "~/.netrc"
guest = "~/.netrc"
mode = "0640"
"""


@pytest.fixture
def file(banger: Installation) -> Path:
    """The configuration of this installation's user, with everything in it."""
    path = Path(banger.env["HOME"]) / ".config/banger/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(EVERYTHING)
    return path


def request(banger: Installation) -> dict[str, object]:
    found = banger.calls("create_vm")[-1]
    assert isinstance(found, dict)
    return found


@pytest.mark.requirement("CFG-003", "CLI-023", "CLI-024")
@pytest.mark.usefixtures("file")
def test_what_is_configured_is_the_default_and_is_what_help_says(banger: Installation) -> None:
    done = banger.run("vm", "create")
    assert done.stderr.splitlines()[0] == "spec: 5 vcpu · 640 MiB · 3G disk"
    assert request(banger)["image"] == "other"
    assert request(banger)["sizes"] == {"vcpus": 5, "memory_mib": 640, "disk_bytes": 3 << 30}
    text = re.sub(r"\s+", " ", banger.ok("vm", "run", "--help"))
    for said in ("(default other)", "(default 5)", "(default 640)", "(default 3G)"):
        assert said in text


@pytest.mark.usefixtures("file")
def test_a_flag_goes_before_a_variable_that_before_the_file_and_that_before_the_host(banger: Installation) -> None:
    environ = {"BANGER_VCPU": "6", "BANGER_MEMORY": "1G", "BANGER_IMAGE": "variable"}
    banger.ok("vm", "create", "--vcpu", "7", **environ)
    assert request(banger)["image"] == "variable"
    assert request(banger)["sizes"] == {"vcpus": 7, "memory_mib": 1024, "disk_bytes": 3 << 30}
    banger.ok("vm", "create", "--image", "flag", **environ)
    assert request(banger)["image"] == "flag"
    banger.ok("template", "build")
    assert banger.calls("build_template") == [["other", {"vcpus": 5, "memory_mib": 640, "disk_bytes": 3 << 30}]]


@pytest.mark.requirement("CFG-008")
def test_a_mistake_is_an_error_of_what_it_matters_to_and_of_nothing_else(banger: Installation, file: Path) -> None:
    file.write_text("[vm_defaults]\n\nvcpus = 3\n")
    for words in (["vm", "create"], ["vm", "run"], ["template", "build"], ["config", "show"], ["config", "check"]):
        done = banger.run(*words)
        assert done.returncode == 1
        error, hint = done.stderr.splitlines()
        assert error == f"banger: {file}:3: vm_defaults.vcpus: there is no such key; did you mean vcpu?"
        assert hint == f'  try: "${{EDITOR:-vi}}" +3 {file}'
    assert banger.calls() == []
    assert banger.run("vm", "list").returncode == 0
    assert "--vcpu" in banger.ok("vm", "run", "--help")


@pytest.mark.usefixtures("file")
def test_show_says_what_holds_and_where_it_comes_from(banger: Installation) -> None:
    home = banger.env["HOME"]
    path = f"{home}/.config/banger/config.toml"
    shown = banger.ok("config", "show", BANGER_VCPU="6", FAKE_CPUS="8", FAKE_MEMORY_MIB="65536")
    rows = [re.split(r"  +", line) for line in shown.splitlines()[3:]]
    assert shown.startswith(f"{path}\n\nKEY ")
    assert {key: (value, origin) for key, value, origin in rows} == {
        "ssh_key_path": (f"{home}/key", f"{path}:1"),
        "firecracker_bin": ("-", "default"),
        "templates": ("true", "default"),
        "daemon_idle_s": ("900", "default"),
        "vm_defaults.image": ("other", f"{path}:3"),
        "vm_defaults.vcpu": ("6", "BANGER_VCPU"),
        "vm_defaults.memory": ("640M", f"{path}:5"),
        "vm_defaults.disk_size": ("3G", f"{path}:6"),
        "catalogs.images": ("-", "default"),
        "catalogs.kernels": ("-", "default"),
        'mirrors."docker.io"': ("https://mirror.example.org", f"{path}:7"),
        "file_sync[0]": ("~/.netrc -> ~/.netrc (mode 0640)", f"{path}:9"),
    }
    answer = json.loads(banger.ok("config", "show", "--json"))
    assert answer["path"] == path
    assert answer["exists"]
    keys = {row["key"]: row for row in answer["keys"]}
    assert keys["vm_defaults.vcpu"] == {"key": "vm_defaults.vcpu", "value": "5", "origin": f"{path}:4"}
    assert keys["file_sync[0]"]["value"] == {"host": "~/.netrc", "guest": "/root/.netrc", "mode": "0640"}


def test_check_says_that_all_is_well_and_what_is_not_there(banger: Installation, file: Path) -> None:
    said = banger.ok("config", "check").splitlines()
    assert said[-1] == f"{file}: 7 keys, nothing is wrong"
    assert f"warning: {file}:1: ssh_key_path: {banger.env['HOME']}/key is not there" in said
    assert f"warning: {file}:9: file_sync[0]: ~/.netrc is not there: VMs go without it" in said
    file.unlink()
    assert banger.ok("config", "check") == f"{file}: not there; every key has its default\n"


@pytest.mark.requirement("CFG-009", "CLI-061")
@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("words", [["config", "show"], ["config", "check"], ["vm", "run", "--help"], ["--help"]])
def test_nothing_is_written_and_no_daemon_begun(banger: Installation, tmp_path: Path, words: list[str]) -> None:
    trace = tmp_path / "trace"
    calls = (
        "trace=openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlinkat,execve"
    )
    argv = ["strace", "-f", "-qq", "-e", calls, "-o", str(trace), *banger.argv(*words)]
    env = banger.env | {"PYTHONDONTWRITEBYTECODE": "1"}  # those files are Python's own, and only of a checkout
    subprocess.run(argv, env=env, cwd=ROOT, check=True, capture_output=True, timeout=60)
    lines = [line for line in trace.read_text().splitlines() if " = -1 " not in line]
    assert sum("execve(" in line for line in lines) == 1
    assert [line for line in lines if re.search(r"O_WRONLY|O_RDWR|O_CREAT| (mk|re|un|li|sy)\w+\(", line)] == []
    assert not banger.state.exists()
    assert not re.search(r"openat\([^)]*bangerd", trace.read_text())


@pytest.mark.requirement("CFG-003")
def test_without_a_word_the_host_decides_within_bounds() -> None:
    for cpus in (1, 2, 3, 4, 7, 8, 12, 16, 64, 256):
        sizes = defaults_for(cpus, 1 << 20, 1 << 20)
        assert sizes.vcpus == min(cpus, max(2, min(4, cpus // 4)))
    for memory_mib in (300, 2048, 8192, 16384, 65536, 1 << 20):
        wanted = max(1024, min(8192, memory_mib // 8 // 256 * 256))
        assert defaults_for(4, memory_mib, 1 << 20).memory_mib == wanted


@pytest.mark.parametrize(
    ("cpus", "memory_mib", "wanted"),
    [
        (16, 65536, {"image": "builtin", "vcpu": "auto", "memory": "auto", "disk_size": "builtin"}),
        (4, 4096, {"image": "builtin", "vcpu": "builtin", "memory": "builtin", "disk_size": "builtin"}),
        (1, 1024, {"image": "builtin", "vcpu": "auto", "memory": "auto", "disk_size": "builtin"}),
    ],
)
def test_each_default_knows_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, cpus: int, memory_mib: int, wanted: dict[str, str]
) -> None:
    monkeypatch.setattr("banger.cli.sizes.cpu_count", lambda: cpus)
    monkeypatch.setattr("banger.cli.sizes.memory_mib", lambda: (memory_mib, memory_mib))
    assert {one.name: one.source for one in vm_defaults(load_config({}))} == wanted
    configured = {one.name: one for one in vm_defaults(load_config({"BANGER_VCPU": "2"}))}
    assert (configured["vcpu"].source, configured["vcpu"].where) == ("config", "BANGER_VCPU")


@pytest.mark.requirement("DOC-002")
def test_doctor_says_where_each_default_comes_from(banger: Installation, file: Path) -> None:
    file.write_text("[vm_defaults]\nvcpu = 3\n")
    (line,) = [line for line in banger.ok("doctor", FAKE_MEMORY_MIB="65536").splitlines() if " vm defaults: " in line]
    assert line == (
        "ok    vm defaults: image debian-bookworm-slim (builtin), "
        f"vcpu 3 ({file}:2), memory 8G (auto), disk_size 8G (builtin); configured in {file}"
    )
    file.write_text("[vm_defaults]\nvcpus = 3\n")
    done = banger.run("doctor")
    assert done.returncode == 1
    assert f"FAIL  vm defaults: {file}:2: vm_defaults.vcpus: there is no such key" in done.stdout


@pytest.mark.requirement("DOC-001")
def test_another_architecture_fails_and_it_is_said_what_rests_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    check = _architecture()
    assert check.status == "fail"
    for said in ("aarch64", "guest programs", "kernel", "images", "x86_64 only"):
        assert said in check.detail
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert _architecture().status == "ok"
