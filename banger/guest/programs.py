"""Where the compiled guest programs are: inside an installed package, or in a checkout's build directory."""

from pathlib import Path

from banger.model.errors import HostError

_NAMES = ("banger-init", "banger-agent")
_HERE = Path(__file__).parent


def program_paths() -> tuple[Path, Path]:
    """Return init and agent. Raises HostError if they were never compiled."""
    for directory in (_HERE / "bin", _HERE.parents[1] / "build" / "bin"):
        init, agent = (directory / name for name in _NAMES)
        if init.is_file() and agent.is_file():
            return init, agent
    raise HostError("the guest programs are not compiled", hint=f"make -C {_HERE / 'src'}")


def place_path() -> Path:
    """Return the program that changes files of a checkout in a guest. Raises HostError if it was never compiled."""
    found = program_paths()[0].with_name("banger-place")
    if not found.is_file():
        raise HostError(f"{found.name} is not compiled", hint=f"make -C {_HERE / 'src'}")
    return found


def programs_stamp() -> str:
    """Return a word that changes whenever the programs do. Raises HostError as `program_paths` does."""
    stats = [path.stat() for path in program_paths()]
    return " ".join(f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}" for stat in stats)
