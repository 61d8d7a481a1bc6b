"""The config of the kernel that is made for VMs has all that one needs; with the real source, it comes through."""

import subprocess
import sys
from pathlib import Path

import pytest

from banger.kernels.needs import NEEDS, missing_options, read_config

ROOT = Path(__file__).parents[3]
FRAGMENT = ROOT / "configs" / "generic-kernel.config"
SOURCE = Path("/usr/src/linux-source-6.12.tar.xz")


@pytest.mark.requirement("SCR-003", "KRN-006")
def test_the_fragment_has_every_need_built_in() -> None:
    lines = FRAGMENT.read_text().splitlines()
    config = read_config(lines)
    assert missing_options(config, {}) == []
    assert "m" not in config.values()
    for option in (
        "PVH",
        "VSOCKETS",
        "VIRTIO_VSOCKETS",
        "OVERLAY_FS",
        "IKCONFIG",
        "SECCOMP_FILTER",
        "BRIDGE",
        "NF_TABLES",
    ):
        assert config.get(f"CONFIG_{option}") == "y", option
    assert "CONFIG_MODULES=n" in lines


@pytest.mark.parametrize("option", [need.option for need in NEEDS])
def test_a_config_that_lacks_one_is_told_so(option: str, tmp_path: Path) -> None:
    config = tmp_path / ".config"
    config.write_text(FRAGMENT.read_text().replace(f"{option}=y\n", f"# {option} is not set\n"))
    argv = [sys.executable, "scripts/check_kernel_config.py", str(config), str(FRAGMENT)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"{config}: {option} is not built in\n")


def make(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "BANGER_KERNELS_DIR": str(tmp_path), "PYTHON": sys.executable}
    argv = ["bash", str(ROOT / "scripts" / "make-generic-kernel.sh"), *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--what"], "make-generic-kernel.sh [--config-only]"),
        (["--name", "../x"], "cannot be a kernel's name"),
        (["--source", "/nowhere"], "neither a directory nor a tarball"),
    ],
)
def test_a_wrong_word_is_told_before_anything_is_built(words: list[str], said: str, tmp_path: Path) -> None:
    done = make(tmp_path, *words)
    assert done.returncode != 0
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_tarball_that_is_not_what_its_sha256_says_is_not_built(tmp_path: Path) -> None:
    tarball = tmp_path / "linux.tar.xz"
    tarball.write_bytes(b"other")
    done = make(tmp_path / "out", "--source", str(tarball), "--sha256", "ab" * 32, "--config-only")
    assert done.returncode != 0
    assert "has the sha256" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.nightly
def test_with_the_real_source_every_option_comes_through(tmp_path: Path) -> None:
    done = make(tmp_path, "--config-only", "--source", str(SOURCE))
    assert done.returncode == 0, done.stderr
    config = read_config((tmp_path / "generic-6.12" / "config").read_text().splitlines())
    assert missing_options(config, read_config(FRAGMENT.read_text().splitlines())) == []
    assert "CONFIG_MODULES" not in config
