"""Prepare a guest that is nobody yet: give it files, run a command on them, and set aside what comes of it."""

import io
import tarfile
from collections.abc import Callable, Mapping

import anyio

from banger.guest.channel import AgentChannel
from banger.guest.exec_session import ExecSession, Exit, Output
from banger.guest.protocol import printable
from banger.model.errors import GuestError
from banger.model.exec import ExecRequest

REPOSITORY = "/root/repo"
SET_ASIDE = "/root/.banger-setup"
"""Where what the command has made beside its files waits for the checkout that it belongs to."""
_TAIL_BYTES = 4000
_SHOWN = 100
_HINT = "banger vm run --no-setup, to look at it by hand"
_ENVIRONMENT = {"LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
_UNPACK = f"mkdir -p {REPOSITORY} && cd {REPOSITORY} && tar --extract --file=- --no-same-owner"
_PUT_ASIDE = f"cd /root && mv {REPOSITORY} {SET_ASIDE} && sync"

# What the checkout has stays as it is; directories that both have are joined. `.git` is the checkout's alone.
JOIN = f"""
set -eu
[ -d {SET_ASIDE} ] || exit 0
rm -rf {SET_ASIDE}/.git
join() {{
  for one in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    [ -e "$one" ] || [ -L "$one" ] || continue
    there=$2/${{one##*/}}
    if [ ! -e "$there" ] && [ ! -L "$there" ]; then
      mv "$one" "$there"
    elif [ -d "$one" ] && [ ! -L "$one" ] && [ -d "$there" ] && [ ! -L "$there" ]; then
      (join "$one" "$there")
    fi
  done
}}
join {SET_ASIDE} {REPOSITORY}
rm -rf {SET_ASIDE}
"""

Say = Callable[[str], None]


async def prepare(agent: AgentChannel, command: str, files: Mapping[str, bytes] | None, say: Say) -> None:
    """Run a shell command in /root, or, given files, in /root/repo, where there is nothing else. `say` takes its lines.

    Raises GuestError with the end of what it said if it fails.
    """
    if files is None:
        await _run(agent, command, "/root", b"", say)
        return
    await _run(agent, _UNPACK, "/", _archive(files), say)
    await _run(agent, command, REPOSITORY, b"", say)
    await _run(agent, _PUT_ASIDE, "/", b"", say)


async def join_checkout(agent: AgentChannel) -> None:
    """Put what a preparation has made beside its files into the checkout, where that has nothing of the name."""
    await _run(agent, JOIN, "/", b"", lambda _: None)


async def _run(agent: AgentChannel, script: str, directory: str, stdin: bytes, say: Say) -> None:
    request = ExecRequest(("sh", "-c", script), _ENVIRONMENT, directory)
    tail = bytearray()
    status = 0
    try:
        async with await agent.exec(request) as session, anyio.create_task_group() as group:
            group.start_soon(_feed, session, stdin)
            status = await _listen(session, tail, say)
            group.cancel_scope.cancel()
    except ExceptionGroup as both:  # feeding and listening fail for one reason: the guest is gone
        raise both.exceptions[0] from None
    if status:
        said = "\n".join(printable(line) for line in tail.decode("latin-1").splitlines()[-20:])
        raise GuestError(f"the set-up ended with exit status {status}" + (f":\n{said}" if said else ""), hint=_HINT)


async def _listen(session: ExecSession, tail: bytearray, say: Say) -> int:
    """Take what it says until it ends; keep the end of that. Returns its status."""
    while not isinstance(happening := await session.receive(), Exit):
        if isinstance(happening, Output):
            tail += happening.data
            del tail[:-_TAIL_BYTES]
            say(_last_line(bytes(tail)))
    return happening.status


async def _feed(session: ExecSession, stdin: bytes) -> None:
    await session.send(stdin)
    await session.send_eof()


def _last_line(tail: bytes) -> str:
    lines = tail.decode("latin-1").strip().splitlines()
    return printable(lines[-1])[:_SHOWN] if lines else ""


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A tar in which nothing tells who made it or when."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()
