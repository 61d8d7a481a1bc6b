"""banger's own ssh_config, and the line in the user's that includes it: written when asked for, and at no other time.

The file is the same for every VM: ssh asks `banger ssh-proxy` for a connection to a VM, and for the key that it must
have, by its name; so nothing has to be written when a VM comes, goes, restarts or gets another name.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from banger.model.errors import HostError, SpecError

BEGIN = "# BEGIN banger: `banger ssh-config --uninstall` removes these lines"
END = "# END banger"


def config_file(environ: Mapping[str, str]) -> Path:
    """Where banger's own ssh_config is: below `XDG_CONFIG_HOME`, else ~/.config. Raises SpecError without a home."""
    xdg = environ.get("XDG_CONFIG_HOME", "")
    base = Path(xdg) if xdg.startswith("/") else _home(environ) / ".config"
    return base / "banger" / "ssh_config"


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's ssh_config."""
    return _home(environ) / ".ssh" / "config"


def content(key: Path) -> str:
    """Return banger's ssh_config. `key`: the key that banger logs in with."""
    banger = f"{_word(sys.executable)} -P -m banger.cli.main ssh-proxy"
    return f"""\
# Written by `banger ssh-config --install`: `ssh NAME.vm` for every VM of banger.
Host *.vm
    User root
    ProxyCommand {banger} connect %n
    KnownHostsCommand {banger} key %n
    UserKnownHostsFile /dev/null
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    CheckHostIP no
    IdentityFile {_word(str(key))}
    IdentitiesOnly yes
    IdentityAgent none
    ForwardAgent no
    ForwardX11 no
    ControlPath none
"""


def include_line(config: Path) -> str:
    """Return the line that has ssh read it."""
    return f"Include {_word(str(config))}"


def is_installed(user: Path, config: Path) -> bool:
    """Whether the user's ssh_config includes banger's."""
    return include_line(config) in (line.strip() for line in _read(user).splitlines())


def install(user: Path, config: Path, key: Path) -> None:
    """Write banger's file, and put the line for it before all else: an Include below a Host counts for that host only.

    Doing it twice changes nothing; what else is in the user's file stays as it is.
    """
    config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(config, content(key), 0o600)
    if is_installed(user, config):
        return
    user.parent.mkdir(mode=0o700, exist_ok=True)
    before = _without_block(_read(user))
    _replace(user, f"{BEGIN}\n{include_line(config)}\n{END}\n{before}", _mode(user))


def uninstall(user: Path, config: Path) -> None:
    """Take both away again; what is not there needs nothing."""
    config.unlink(missing_ok=True)
    before = _read(user)
    after = _without_block(before)
    if after != before:
        _replace(user, after, _mode(user))


def _without_block(text: str) -> str:
    lines = text.splitlines(keepends=True)
    stripped = [line.strip() for line in lines]
    while BEGIN in stripped and END in stripped[stripped.index(BEGIN) :]:
        begin = stripped.index(BEGIN)
        end = stripped.index(END, begin)
        del lines[begin : end + 1], stripped[begin : end + 1]
    return "".join(lines)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else 0o600


def _replace(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all; one that is a link stays one, and what it leads to is written."""
    real = Path(os.path.realpath(path))
    try:
        descriptor, made = tempfile.mkstemp(prefix=".banger-", dir=real.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(made).replace(real)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise SpecError("HOME is not set, so there is no ~/.ssh/config")
    return Path(home)


def _word(text: str) -> str:
    """One word for ssh_config(5), in which blanks separate, and % begins a token."""
    return '"' + text.replace("%", "%%") + '"'
