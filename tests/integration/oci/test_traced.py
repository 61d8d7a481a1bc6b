"""A pull under strace, from a server that tries what it can: what is written, run and connected to."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.badserver import BadServer, Reply, serving
from tests.fakes.images import make_image
from tests.integration.oci.test_kill import CHILD
from tests.unit.oci.pulling import REPOSITORY, blob_path, put_image

IMAGE = make_image((200_000, 100_000))
DATA = IMAGE.layers[0]
CALLS = (
    "openat,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,execve,connect"
)
WRITES = re.compile(
    r"openat\([^,]+, \"([^\"]+)\", [^)]*(?:O_WRONLY|O_RDWR|O_CREAT)"
    r"|(?:rename|link|symlink|unlink|mkdir)\w*\(.*\"([^\"]+)\""
)


@pytest.mark.parametrize("kind", ["decent", "bad"])
def test_a_pull_writes_below_its_directory_runs_nothing_and_asks_nobody_else(tmp_path: Path, kind: str) -> None:
    blobs, trace = tmp_path / "blobs", tmp_path / "trace"
    with BadServer() as server:
        put_image(server, IMAGE)
        if kind == "bad":
            away = [("Location", "http://192.0.2.1/x"), ("Content-Disposition", "attachment; filename=../../evil")]
            server.on(
                blob_path(DATA),
                Reply(200, DATA, cut=50_000, ending="close"),
                Reply(307, headers=tuple(away)),
                serving(DATA),
            )
        done = subprocess.run(
            ["strace", "-f", "-qq", "-s", "4096", "-e", f"trace={CALLS}", "-o", trace,
             sys.executable, "-c", CHILD, f"{server.host}/{REPOSITORY}:1", blobs],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode == 0) == (kind == "decent"), done.stderr.decode()
        lines = [line for line in trace.read_text().splitlines() if " = -1 " not in line]
        written = {match[1] or match[2] for line in lines if (match := WRITES.search(line))}
        assert written
        assert {path for path in written if not path.startswith((str(blobs), "/dev/"))} == set()
        assert sum("execve(" in line for line in lines) == 1
        connected = [line for line in trace.read_text().splitlines() if "connect(" in line]
        assert connected
        assert all(f"htons({server.port})" in line and "127.0.0.1" in line for line in connected), connected
