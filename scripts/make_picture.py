"""Draw a terminal into docs/picture.svg: what the commands of the README really print, in a home of their own.

`python scripts/make_picture.py`, or `make picture`. It takes VMs, and a minute or two. Times differ from run to run.
"""

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "picture.svg"
BANGER = Path(sys.executable).with_name("banger")
WIDTH = 96
FIRST = "banger vm run --rm -- true"
"""Fetches and builds what the others use; it is not shown."""
SHOWN = (
    "banger vm run --rm --name box ~/src/app -- make test",
    "banger vm run --rm -- uname -srm",
    "banger vm create --name dev",
    "banger vm exec dev -- sh -c 'hostname; nproc; free -m | sed -n 2p'",
    "banger vm list",
    "banger vm delete dev",
)
_FONT = re.compile(r"\s*@font-face \{.*?\}\n", re.DOTALL)
_DRAWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run(line: str, env: dict[str, str]) -> str:
    """Run a line at a terminal and return what stays on it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(["sh", "-c", line], env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # EIO: the other end has closed
            pass
        if process.wait():
            raise SystemExit(f"{line}: {shown.decode()}")
    os.close(ours)
    return _DRAWN.sub("", shown.decode()).replace("\r", "")


def make_home(home: Path) -> dict[str, str]:
    """Make a home with a checkout in it; return an environment for it."""
    app = home / "src" / "app"
    app.mkdir(parents=True)
    (app / "Makefile").write_text("test:\n\t@echo 'tested on' $$(uname -r) in $(CURDIR)\n")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=app, check=True)
    path = f"{BANGER.parent}:{os.environ['PATH']}"
    # A dumb terminal: only the lines that stay, and none that is drawn over.
    return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "TERM": "dumb", "BANGER_STATE_DIR": str(home / "state")}


def draw(lines: list[tuple[str, str]]) -> str:
    """The picture of commands and what they printed; with no font that would have to be fetched."""
    console = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w"), force_terminal=True)  # noqa: SIM115
    for command, shown in lines:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text(shown.rstrip("\n")))
    svg = console.export_svg(title="banger", unique_id="banger")
    return _FONT.sub("\n", svg)


def main() -> int:
    """Run the commands and write the picture."""
    with tempfile.TemporaryDirectory(prefix="banger-picture-") as folder:
        env = make_home(Path(folder))
        try:
            run(FIRST, env)
            run("banger template build --quiet", env)
            PICTURE.write_text(draw([(line, run(line, env)) for line in SHOWN]))
        finally:
            subprocess.run([BANGER, "daemon", "stop"], env=env, check=False, capture_output=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
