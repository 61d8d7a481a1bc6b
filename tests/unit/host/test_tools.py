"""Host programs are found wherever Debian puts them, and what is missing is named with its package."""

from pathlib import Path

import pytest

from banger.host import tools
from banger.model.errors import HostError


def test_a_program_in_sbin_is_found_with_a_users_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = tools.find_tool("mke2fs")
    assert found
    assert found.is_absolute()


def test_a_missing_program_is_named_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HostError, match="qemu-img: not found") as caught:
        tools.get_tool("qemu-img")
    assert caught.value.hint == "sudo apt-get install qemu-utils"


def test_the_working_folder_is_never_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil-tool").write_text("#!/bin/sh\n")
    (tmp_path / "evil-tool").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f":.:{Path('/usr/bin')}")
    assert tools.find_tool("evil-tool") is None
