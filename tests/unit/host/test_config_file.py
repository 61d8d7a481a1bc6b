"""The file of the configuration: where it is looked for, whose it may be, and that a change is seen."""

import os
import subprocess
from pathlib import Path

import anyio
import pytest

from banger.host.config_file import ConfigSource, config_path, load_config
from banger.host.login_key import login_public_key, public_half
from banger.host.sshkeys import make_key_pair
from banger.host.tools import find_firecracker
from banger.model.errors import HostError, SpecError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ".config" / "banger" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("vm_defaults.vcpu = 3\n")
    return path


@pytest.mark.requirement("CFG-001", "DMN-005")
def test_it_is_in_the_users_home_or_where_the_environment_says(tmp_path: Path, file: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert config_path(home) == file
    assert load_config(home).vcpu == 3
    assert config_path(home | {"XDG_CONFIG_HOME": "/xdg"}) == Path("/xdg/banger/config.toml")
    assert config_path(home | {"XDG_CONFIG_HOME": "relative"}) == file
    assert config_path(home | {"BANGER_CONFIG": "/other.toml"}) == Path("/other.toml")
    assert config_path({}) is None
    assert load_config({}).vcpu is None
    with pytest.raises(SpecError, match="must be an absolute path"):
        config_path({"BANGER_CONFIG": "config.toml"})


def test_one_that_was_named_must_be_there_and_another_need_not(tmp_path: Path) -> None:
    assert load_config({"HOME": str(tmp_path)}).origins == {}
    assert load_config({"HOME": "/dev/null"}).origins == {}
    with pytest.raises(SpecError, match="there is no such file, but BANGER_CONFIG names it"):
        load_config({"BANGER_CONFIG": str(tmp_path / "none")})


def test_what_is_no_file_or_too_large_or_not_text_is_refused_at_once(tmp_path: Path, file: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    file.write_bytes(b"# \xff\n")
    with pytest.raises(SpecError, match=r"config.toml:1: is not UTF-8"):
        load_config(environ)
    file.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(SpecError, match="is larger than 1024 KiB"):
        load_config(environ)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(SpecError, match="is not a file"):
        load_config(environ)
    file.unlink()
    file.mkdir()
    with pytest.raises(SpecError, match="is not a file"):
        load_config(environ)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[vm_defaults]\r\nvcpu = 5\r\n")
    assert load_config({"HOME": str(tmp_path)}).vcpu == 5


def test_a_file_that_others_may_write_to_is_not_believed(tmp_path: Path, file: Path) -> None:
    file.chmod(0o666)
    with pytest.raises(SpecError, match=r"every user may write to it \(mode 0666\)"):
        load_config({"HOME": str(tmp_path)})


@pytest.mark.root
def test_a_file_of_somebody_else_is_not_believed(tmp_path: Path, file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    os.chown(file, 1234, 1234)
    with pytest.raises(SpecError, match="belongs to uid 1234"):
        load_config({"HOME": str(tmp_path)})


def test_who_lives_long_sees_a_change_and_a_mistake_and_its_end(tmp_path: Path, file: Path) -> None:
    source = ConfigSource({"HOME": str(tmp_path)})
    first = source.current()
    assert source.current() is first
    file.write_text("vm_defaults.vcpu = 14\n")
    assert source.current().vcpu == 14
    file.write_text("vm_defaults.vcpus = 14\n")
    for _ in range(2):
        with pytest.raises(SpecError, match="there is no such key"):
            source.current()
    file.unlink()
    assert source.current().vcpu is None


@pytest.mark.requirement("SSH-001")
def test_one_logs_in_with_bangers_own_key_or_the_one_that_is_configured(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    source = ConfigSource({"HOME": str(tmp_path)})
    monkeypatch.setattr("banger.host.login_key.user_config", source.current)
    assert login_public_key(own, "its public half") == "its public half"
    public = anyio.run(make_key_pair, other)
    other.with_suffix(".pub").unlink()  # it can be worked out
    file.write_text('ssh_key_path = "~/other"\n')
    assert login_public_key(own, "its public half") == public
    other.unlink()
    with pytest.raises(SpecError, match=r"ssh_key_path: .*other: No such file"):
        login_public_key(own, "its public half")


def test_a_key_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("no key\n")
    with pytest.raises(SpecError, match="is not a private SSH key"):
        public_half(key)
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked], check=True)
    with pytest.raises(SpecError, match="has a passphrase"):
        public_half(locked)


@pytest.mark.requirement("CFG-005")
def test_firecracker_is_the_one_that_is_configured_or_in_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_firecracker(None) is None
    program = tmp_path / "firecracker"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(HostError, match=r"firecracker_bin: .* is not a program"):
        find_firecracker(str(program))
    program.chmod(0o755)
    assert find_firecracker(None) == program
    assert find_firecracker(str(program)) == program
