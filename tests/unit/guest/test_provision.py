"""Which package manager installs SSH in which system."""

import subprocess

import pytest

from banger.guest.provision import FAMILIES, family_of, script_of


@pytest.mark.requirement("IMG-020")
@pytest.mark.parametrize(
    ("os_ids", "family"),
    [
        *(((name,), family) for family, names in FAMILIES.items() for name in names),
        (("something", "ubuntu", "debian"), "debian"),
        (("mystery", "rhel", "centos", "fedora"), "fedora"),
        (("opensuse-slowroll", "opensuse", "suse"), "opensuse"),
        (("rebornos", "arch"), "arch"),
        (("void",), None),
        ((), None),
    ],
)
def test_a_system_belongs_to_a_family_by_its_name_or_by_what_it_is_like(
    os_ids: tuple[str, ...], family: str | None
) -> None:
    assert family_of(os_ids) == family


@pytest.mark.parametrize("family", FAMILIES)
def test_every_script_is_one_that_a_plain_shell_can_read(family: str) -> None:
    for shell in (["sh"], ["busybox", "sh"]):
        subprocess.run([*shell, "-n", "-c", script_of(family)], check=True)
    assert "ssh_host_" in script_of(family)  # keys of the builder's are not for all machines of the image
