"""A pull that is killed: what is there is gone on with, and nothing else was left."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from banger.host.clock import SystemClock
from banger.oci import BlobDir, RegistrySettings, open_source
from tests.fakes.badserver import BadServer, Reply, serving
from tests.fakes.images import make_image
from tests.unit.oci.pulling import REPOSITORY, blob_path, put_image

pytestmark = pytest.mark.anyio
IMAGE = make_image((3_000_000,))
DATA = IMAGE.layers[0]
CHILD = """
import sys, anyio
from pathlib import Path
from banger.host.clock import SystemClock
from banger.oci import BlobDir, RegistrySettings, open_source

async def pull():
    source = open_source(sys.argv[1], RegistrySettings(), SystemClock())
    image = await source.resolve()
    await source.fetch(image.layers, BlobDir(Path(sys.argv[2])))

anyio.run(pull)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def files_in(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


async def test_after_a_kill_the_next_pull_goes_on_from_what_is_there(tmp_path: Path) -> None:
    with BadServer() as server:
        put_image(server, IMAGE)
        server.on(blob_path(DATA), Reply(200, DATA, cut=len(DATA) // 2, ending="hang"), serving(DATA))
        text = f"{server.host}/{REPOSITORY}:1"
        child = subprocess.Popen([sys.executable, "-c", CHILD, text, tmp_path / "blobs"])  # noqa: ASYNC220
        partial = tmp_path / "blobs" / "partial"
        began = time.monotonic()
        while not [path for path in partial.glob("*") if path.stat().st_size]:
            assert time.monotonic() - began < 20
            time.sleep(0.02)  # noqa: ASYNC251
        child.send_signal(signal.SIGKILL)
        child.wait()
        (left,) = partial.iterdir()
        size = left.stat().st_size
        assert DATA.startswith(left.read_bytes())
        source = open_source(text, RegistrySettings(), SystemClock())
        image = await source.resolve()
        (path,) = await source.fetch(image.layers, BlobDir(tmp_path / "blobs"))
        assert path.read_bytes() == DATA
        assert server.asked(blob_path(DATA))[-1].headers["range"] == f"bytes={size}-"
        assert files_in(tmp_path) == [f"blobs/sha256/{path.name}"]
