"""How fast a large blob comes from a registry on this machine, fetched and verified: `scripts/bench_registry.py [MB]`.

Rounds of: banger (fetch, hash, write), `curl | sha256sum` (fetch, hash), `curl -o` (fetch, write). Prints medians of
wall times, and the ratio round by round. Needs docker-registry and curl.
"""

import hashlib
import http.client
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from banger.host.clock import SystemClock
from banger.model.digest import Digest
from banger.oci import BlobDir, Layer, RegistrySettings, parse_reference
from banger.oci.auth import Authorizer
from banger.oci.credentials import NoCredentials
from banger.oci.registry import Registry
from banger.oci.watch import Stop

ROUNDS = 5
MEGABYTES = 468
REPOSITORY = "bench/blob"


def main() -> int:
    """Measure and print."""
    size = int(sys.argv[1] if len(sys.argv) > 1 else MEGABYTES) * 1_000_000
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        with (root / "log").open("wb") as log:
            host, process = start_registry(root, log)
            try:
                measure(root, host, upload(host, size), size)
            finally:
                process.terminate()
                process.wait()
    return 0


def start_registry(root: Path, log: object) -> tuple[str, "subprocess.Popen[bytes]"]:
    """Run a registry on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = root / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: '{host}'}}\n"
    )
    process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)  # type: ignore[call-overload]
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])), 1).close()
        except OSError:
            time.sleep(0.1)
    return host, process


def upload(host: str, size: int) -> Digest:
    """Push a blob of noise."""
    block = hashlib.shake_256(b"bench").digest(1_000_000)
    hasher = hashlib.sha256()
    for _ in range(size // len(block)):
        hasher.update(block)
    digest = f"sha256:{hasher.hexdigest()}"
    connection = http.client.HTTPConnection(host)
    connection.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    answer = connection.getresponse()
    answer.read()
    place = urllib.parse.urlsplit(answer.getheader("location", ""))
    blocks = (block for _ in range(size // len(block)))
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    connection.request("PUT", f"{place.path}?{place.query}&digest={digest}", blocks, headers)
    assert connection.getresponse().status == 201
    return Digest(digest)


def measure(root: Path, host: str, digest: Digest, size: int) -> None:
    """Run the rounds."""
    url = f"http://{host}/v2/{REPOSITORY}/blobs/{digest}"
    layer = Layer(digest, size, "", digest)

    def banger() -> None:
        blobs = BlobDir(root / f"blobs{time.monotonic_ns()}")
        registry = Registry(
            parse_reference(f"{host}/{REPOSITORY}"),
            RegistrySettings(),
            Authorizer(NoCredentials()),
            SystemClock(),
            Stop(),
        )
        began = time.perf_counter()
        path = registry.fetch(layer, blobs, lambda _done: None)
        times["banger"].append(time.perf_counter() - began)
        path.unlink()

    def curl(name: str, command: str) -> Callable[[], None]:
        def run() -> None:
            began = time.perf_counter()
            subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - began)
            (root / "out").unlink(missing_ok=True)

        return run

    ways = {
        "banger": banger,
        "curl | sha256sum": curl("curl | sha256sum", f"curl -s {url} | sha256sum"),
        "curl -o": curl("curl -o", f"curl -s -o {root}/out {url}"),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for way in ways.values():
            way()
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        print(
            f"{name:18} {middle:6.2f} s  {size / middle / 1e6:6.0f} MB/s  ({min(seconds):.2f} to {max(seconds):.2f} s)"
        )
    ratios = [other / ours for ours, other in zip(times["banger"], times["curl | sha256sum"], strict=True)]
    print(f"curl | sha256sum took {' '.join(f'{ratio:.1f}' for ratio in ratios)} times as long, round by round")


if __name__ == "__main__":
    raise SystemExit(main())
