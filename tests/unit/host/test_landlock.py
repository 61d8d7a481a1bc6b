"""A confined child reads, writes, runs and reaches only what it was given, on this very kernel."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from banger.host import landlock
from banger.host.landlock import Limits, confinement, landlock_abi
from banger.model.errors import HostError

LIMITS = Limits(cpu_s=5, file_bytes=1 << 20)
SYSTEM = [Path("/usr"), Path("/lib"), Path("/lib64"), Path("/etc/ld.so.cache"), Path("/dev/null")]
LOADER = Path("/lib64/ld-linux-x86-64.so.2").resolve()
PYTHON = Path(os.path.realpath(sys.executable))
PREFIX = PYTHON.parents[1]
OLDEST = (1, 2, 3, 4, None)


def confined(
    code: str,
    *,
    read: tuple[Path, ...] = (),
    write: tuple[Path, ...] = (),
    execute: tuple[Path, ...] = (),
    limits: Limits = LIMITS,
    abi: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a confinement that gives it the interpreter and what the test names."""
    with confinement(
        limits=limits,
        read=[*SYSTEM, PREFIX, *read],
        write=write,
        execute=[PYTHON, LOADER, *execute],
        abi=abi,
    ) as enter:
        return subprocess.run(
            [PYTHON, "-I", "-S", "-c", code],
            preexec_fn=enter,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd="/",
        )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done
    return done.stderr.strip().splitlines()[-1].split(":")[0]


def test_a_named_file_is_read_and_its_neighbour_is_not(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("yes")
    (tmp_path / "other").write_text("no")
    done = confined(f"print(open({str(tmp_path / 'mine')!r}).read())", read=(tmp_path / "mine",))
    assert done.stdout == "yes\n", done.stderr
    assert refusal(confined(f"open({str(tmp_path / 'other')!r})", read=(tmp_path / "mine",))) == "PermissionError"


def test_a_symbolic_link_to_the_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    assert refusal(confined(f"open({str(tmp_path / 'in/link')!r})", read=(tmp_path / "in",))) == "PermissionError"


@pytest.mark.parametrize("abi", OLDEST)
@pytest.mark.parametrize(
    "change",
    [
        "open(p + '/file', 'w')",
        "open(p + '/new', 'w')",
        "os.mkdir(p + '/new')",
        "os.unlink(p + '/file')",
        "os.symlink('/', p + '/new')",
        "os.rename(p + '/file', p + '/new')",
        "os.truncate(p + '/file', 0)",
        "os.chmod(p + '/file', 0o777)",
        "os.chown(p + '/file', 1, 1)",
        "os.utime(p + '/file')",
        "os.setxattr(p + '/file', 'user.a', b'b')",
    ],
)
def test_what_may_be_read_cannot_be_changed_on_old_kernels_either(tmp_path: Path, change: str, abi: int | None) -> None:
    (tmp_path / "file").write_text("kept")
    before = (tmp_path / "file").stat()
    done = confined(f"import os; p = {str(tmp_path)!r}; {change}", read=(tmp_path,), abi=abi)
    assert refusal(done) == "PermissionError"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"
    assert (tmp_path / "file").stat().st_mode == before.st_mode


def test_a_writable_directory_can_be_written(tmp_path: Path) -> None:
    code = f"import os; p = {str(tmp_path)!r}; open(p + '/new', 'w').write('x'); os.chmod(p + '/new', 0o600)"
    assert confined(code, write=(tmp_path,)).returncode == 0
    assert (tmp_path / "new").read_text() == "x"


def test_only_named_programs_run() -> None:
    shell = Path("/bin/sh").resolve()
    code = "import os; os.execv('/bin/sh', ['sh', '-c', 'echo ran'])"
    assert refusal(confined(code)) == "PermissionError"
    assert confined(code, execute=(shell,)).stdout == "ran\n"


@pytest.mark.parametrize("abi", OLDEST)
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
def test_no_socket_of_any_family_is_made(family: str, abi: int | None) -> None:
    code = f"import _socket as s; s.socket(s.{family}, s.SOCK_DGRAM, 0)"
    assert hasattr(socket, family)
    assert refusal(confined(code, abi=abi)) == "PermissionError"


def test_another_process_is_not_signalled() -> None:
    done = confined(f"import os; os.kill({os.getpid()}, 0)")
    assert landlock_abi() < 6 or refusal(done) == "PermissionError"


def test_a_confined_child_gains_no_privilege_from_a_file_and_leaves_no_core() -> None:
    done = confined(
        "import resource as r; print(r.getrlimit(r.RLIMIT_CORE)); print(open('/proc/self/status').read())",
        read=(Path("/proc"),),
    )
    assert done.stdout.startswith("(0, 0)"), done.stderr
    assert "NoNewPrivs:\t1" in done.stdout
    assert "Seccomp:\t2" in done.stdout


def test_output_and_processor_time_are_bounded(tmp_path: Path) -> None:
    small = Limits(cpu_s=1, file_bytes=1000)
    with (
        (tmp_path / "out").open("wb") as out,
        confinement(limits=small, read=[*SYSTEM, PREFIX], execute=[PYTHON, LOADER]) as enter,
    ):
        done = subprocess.run(
            [PYTHON, "-I", "-S", "-c", "import os; [os.write(1, b'x' * 600) for _ in range(4)]"],
            preexec_fn=enter, stdout=out, stderr=subprocess.DEVNULL, check=False, cwd="/",
        )  # fmt: skip
    assert done.returncode != 0
    assert (tmp_path / "out").stat().st_size == 1000
    started = time.monotonic()
    assert confined("while True: pass", limits=small).returncode < 0
    assert time.monotonic() - started < 15


def test_a_kernel_without_landlock_runs_nothing() -> None:
    with pytest.raises(HostError, match="no Landlock") as caught, confinement(limits=LIMITS, abi=0):
        pass
    assert caught.value.hint
    assert "lsm=" in caught.value.hint


def test_an_unknown_architecture_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock.platform, "machine", lambda: "riscv64")  # type: ignore[attr-defined]
    with pytest.raises(HostError, match="riscv64"), confinement(limits=LIMITS):
        pass


def test_a_child_that_cannot_be_confined_never_runs(tmp_path: Path) -> None:
    with confinement(limits=LIMITS, read=SYSTEM, execute=[LOADER]) as enter:
        pass  # the ruleset is closed now
    with pytest.raises(subprocess.SubprocessError):
        subprocess.run(["/usr/bin/touch", tmp_path / "ran"], preexec_fn=enter, check=False)
    assert not (tmp_path / "ran").exists()


def test_children_are_confined_while_other_threads_work() -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            sorted(str(number) for number in range(500))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            with confinement(limits=LIMITS, read=SYSTEM, execute=[Path("/usr/bin/true"), LOADER]) as enter:
                assert subprocess.run(["/usr/bin/true"], preexec_fn=enter, timeout=20, check=False).returncode == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
