"""Make an image in a process of its own, as a given user: `child.py USER JOB`; the job and the answer are JSON.

The user may not be able to read the interpreter's files (a root's home): so all is imported before root is given up.
"""

import json
import os
import pwd
import sys
from pathlib import Path

import anyio
import msgspec

from banger.debian.bootstrap import bootstrap
from banger.debian.namespaces import remove_scratch
from banger.debian.values import Lock
from banger.host.process import run
from banger.model.errors import BangerError


class Job(msgspec.Struct):
    """What to do: `bootstrap` or `remove`."""

    verb: str
    scratch: str
    lock: Lock
    debs: dict[str, str]
    dest: str
    sources: str
    in_memory: bool


async def work(job: Job) -> dict[str, object]:
    scratch, dest = Path(job.scratch), Path(job.dest)
    if job.verb == "remove":
        await remove_scratch(scratch)
        return {}
    seen: list[int] = []
    await bootstrap(
        {name: Path(path) for name, path in job.debs.items()},
        job.lock,
        dest,
        scratch,
        lambda done, _total: seen.append(done),
        guest_sources=job.sources,
        in_memory=job.in_memory,
    )
    return {"progress": seen}


def main() -> None:
    user = pwd.getpwnam(sys.argv[1])
    job = msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=Job)
    anyio.run(warm)
    if user.pw_uid != os.getuid():
        os.initgroups(user.pw_name, user.pw_gid)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    os.umask(0o077)
    try:
        answer = anyio.run(work, job)
    except BangerError as error:
        answer = {"error": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps(answer))


async def warm() -> None:
    await run(["true"], deadline_s=10)


main()
