"""banger from Python: the real daemon and agent behind it; commands run on this machine."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import banger
from banger.cli import start_daemon
from banger.model.errors import ConflictError, GuestError, NotFoundError
from tests.fakes.agent import build_checked_agent
from tests.fakes.docs import DOCS
from tests.fakes.installation import ROOT, Installation, installed, wait_until


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    agent = build_checked_agent(tmp_path_factory.mktemp("agent"))
    with installed(tmp_path_factory.mktemp("api")) as installation, pytest.MonkeyPatch.context() as patch:
        installation.env["FAKE_AGENT"] = str(agent)
        for name, value in installation.env.items():
            patch.setenv(name, value)
        patch.setattr(start_daemon, "DAEMON_MODULE", "tests.fakes.bangerd")
        patch.setattr(start_daemon, "PASSED_PREFIXES", (*start_daemon.PASSED_PREFIXES, "FAKE_"))
        yield installation


def test_a_throw_away_vm_goes_at_the_end_of_its_block_whatever_happens_there(here: Installation) -> None:
    with banger.Client().run(name="gone", memory="512M", ports=["8080:80"]) as vm:
        assert here.names() == ["gone"]
        assert vm.show().ports[0].guest_port == 80
        assert vm.exec(["sh", "-c", "echo out; echo err >&2; exit 3"]) == banger.Completed(
            ("sh", "-c", "echo out; echo err >&2; exit 3"), 3, b"out\n", b"err\n"
        )
    assert here.names() == []
    with pytest.raises(KeyError), banger.Client().run(name="gone"):
        raise KeyError
    assert here.names() == []


def test_a_throw_away_vm_goes_with_the_process_that_made_it(here: Installation) -> None:
    make = "vm = banger.Client().run(name='orphan')"
    script = f"import sys, banger, tests.fakes.cli\n{make}\nprint('up', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], env=here.env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        process.kill()
    wait_until(lambda: here.names() == [])


def test_a_vm_has_the_verbs_of_the_command_line(here: Installation, tmp_path: Path) -> None:
    client = banger.Client()
    vm = client.create(name="box")
    try:
        with pytest.raises(ConflictError):
            client.create(name="box")
        vm.stop()
        assert client.get("box").show().state == "stopped"
        vm.start()
        vm.restart()
        assert vm.health().healthy
        assert vm.stats().cpu_s == 3.5
        assert vm.ports().address
        vm.rename("crate")
        assert (vm.name, [one.name for one in client.list()]) == ("crate", ["crate"])
        (tmp_path / "in").write_text("text")
        assert vm.copy_in(tmp_path / "in", str(tmp_path / "there")) == []
        assert vm.copy_out(str(tmp_path / "there"), tmp_path / "back") == []
        assert (tmp_path / "back").read_text() == "text"
        vm.kill()
    finally:
        vm.delete()
    with pytest.raises(NotFoundError):
        vm.show()


def test_what_a_command_writes_is_bounded_and_its_input_is_whole(here: Installation) -> None:
    data = bytes(range(256)) * 4000
    with banger.Client().run() as vm:
        assert vm.exec(["cat"], input=data).stdout == data
        with pytest.raises(GuestError, match="writes more than 1000 bytes"):
            vm.exec(["yes"], limit_bytes=1000)
        with pytest.raises(banger.CompletedError, match="false ended with status 1"):
            vm.exec(["false"], check=True)
        assert vm.exec(["sh", "-c", 'echo "$A"'], env={"A": "b c"}).stdout == b"b c\n"


def test_threads_may_share_a_client(here: Installation) -> None:
    results: list[bytes] = []
    with banger.Client().run() as vm:
        threads = [threading.Thread(target=lambda: results.append(vm.exec(["echo", "hi"]).stdout)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert results == [b"hi\n"] * 8


def test_the_examples_of_the_page_work(here: Installation) -> None:
    examples = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        exec(compile(example, "python.md", "exec"), {"__name__": "example"})
    assert here.names() == []


def test_the_package_is_cheap_until_it_is_used() -> None:
    code = "import sys, banger; assert not [m for m in sys.modules if m.startswith('banger.')]; banger.Client"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    with pytest.raises(AttributeError):
        _ = banger.Nothing
