"""A private root for apt: its own state, cache and sources, Debian's keys only, and no need to be root.

Of the machine's own apt configuration it takes how to reach the network (proxies, certificates, passwords in auth.conf,
whether dates are checked), and nothing else: no hooks, sources, keys or preferences.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from banger.debian.values import Archive, hide_credentials
from banger.host.process import Finished, run
from banger.model.errors import HostError

# apt.conf(5): `Name::Of::Item "value";`, as `apt-config dump` prints it.
_TAKEN = re.compile(
    r"(?:Acquire::(?:(?:http|https|ftp|tor|socks5h)::[^\s\"]+|Check-Valid-Until|Check-Date|ForceIPv[46])"
    r"|Dir::Etc::netrc(?:parts)?) \"[^\"\n]*\";"
)
STALL_S = 30
_QUICK_S = 60


def apt_environment(config: Path | None = None) -> dict[str, str]:
    """Return what an apt program gets as its environment: nothing of the caller's but where programs are."""
    environment = {"PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
    # What the user of a proxy sets for one shell only; apt reads the lower-case form.
    environment |= {name: os.environ[name] for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ}
    if config:
        environment["APT_CONFIG"] = str(config)
    return environment


class AptRoot:
    """apt's programs, with everything that they read and write below one directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "apt.conf"

    @property
    def lists(self) -> Path:
        """Return where apt keeps the indices that it has read."""
        return self._folder / "state/lists"

    @classmethod
    async def make(cls, folder: Path, archive: Archive | None = None) -> "AptRoot":
        """Lay out `folder`, which may have been used before. Raises HostError if apt is not installed."""
        root = cls(Path.cwd() / folder)
        if re.search(r"[\"\n;]", str(root._folder)):
            raise HostError(f"{root._folder}: apt cannot work in a directory with a quote or semicolon in its name")
        for part in ("state/lists/partial", "cache/archives/partial", "etc"):
            (root._folder / part).mkdir(parents=True, exist_ok=True)
        (root._folder / "state/status").write_bytes(b"")
        sources = _sources_list(archive) if archive else ""
        (root._folder / "etc/sources.list").write_text(sources)
        root._config.write_text(_config(root._folder, archive, await _host_settings()))
        return root

    async def run(self, argv: Sequence[str], *, deadline_s: float) -> Finished:
        """Run one of apt's programs in this root; credentials are hidden in what it returns."""
        # A working directory that exists for the user that apt runs as, whatever the caller's is.
        done = await run(argv, deadline_s=deadline_s, env=apt_environment(self._config), cwd=self._folder)
        errors = hide_credentials(done.stderr.decode(errors="replace")).encode()
        return Finished(done.argv[:2], done.status, done.stdout, errors)


async def _host_settings() -> list[str]:
    dump = (await run(["apt-config", "dump"], deadline_s=_QUICK_S, env=apt_environment())).check("apt's settings")
    return [line for line in dump.stdout.decode(errors="replace").splitlines() if _TAKEN.fullmatch(line)]


def _sources_list(archive: Archive) -> str:
    head = f"deb [arch={archive.architecture} signed-by={archive.keyring}]"
    return "".join(
        f"{head} {source.uri} {suite} {' '.join(source.components)}\n"
        for source in archive.sources
        for suite in source.suites
    )


def _config(folder: Path, archive: Archive | None, host: list[str]) -> str:
    ours = [
        f'Dir::State "{folder}/state"',
        f'Dir::State::status "{folder}/state/status"',
        f'Dir::Cache "{folder}/cache"',
        f'Dir::Etc::sourcelist "{folder}/etc/sources.list"',
        # apt reads APT_CONFIG first: with these at /dev/null it never sees the machine's files.
        *(
            f'Dir::Etc::{part} "/dev/null"'
            for part in ("parts", "main", "sourceparts", "preferences", "preferencesparts", "trusted", "trustedparts")
        ),
        # As root, apt would fetch as the user _apt, who cannot write below a private directory.
        f'APT::Sandbox::User "{"root" if os.geteuid() == 0 else ""}"',
        'APT::Install-Recommends "false"',
        'APT::Get::AllowUnauthenticated "false"',
        'APT::Update::Error-Mode "any"',
        'Acquire::Languages "none"',
        'Acquire::ForceHash "SHA256"',
        'Acquire::Retries "3"',
        f'Acquire::http::Timeout "{STALL_S}"',
        f'Acquire::https::Timeout "{STALL_S}"',
    ]
    if archive:
        ours += [
            f'APT::Architecture "{archive.architecture}"',
            f'APT::Architectures {{ "{archive.architecture}"; }}',
        ]
    return "\n".join([*host, *(line + ";" for line in ours), ""])
