"""Kernels by name over a real store: pulled over HTTP or from a file, imported, used, removed."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.engine.kernels import Kernels
from banger.engine.known import look_up
from banger.engine.prune import prune
from banger.engine.run import Engine
from banger.kernels.catalog import VARIABLE
from banger.model.cache import PruneRequest
from banger.model.errors import BangerError, ConflictError, NotFoundError, SpecError, TransientError
from banger.model.kernel import DEFAULT_KERNEL, ImportRequest
from banger.model.vm import Sizes, VmRequest
from banger.plan.kernel import DEFAULT_CHOICE, plan_kernel
from banger.store.state import State, open_state
from tests.fakes.badserver import BadServer, Reply, serving
from tests.fakes.kernel_files import BUILT, RELEASE, bundle, modules_directory, vmlinux

pytestmark = pytest.mark.anyio

BUNDLE = bundle({"vmlinux": vmlinux() + bytes(range(256)) * 4000})
PATH = "/own-x86_64.tar.zst"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[BadServer]:
    with BadServer() as opened:
        opened.on(PATH, serving(BUNDLE))
        yield opened


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = open_state(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def kernels(state: State) -> Kernels:
    return Kernels(Engine(state))


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: BadServer) -> Path:
    """A catalog with one bundle, on the server."""
    path = tmp_path / "catalog.json"
    write_catalog(path, server.url + PATH)
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def write_catalog(path: Path, *urls: str, content: bytes = BUNDLE, sha256: str = "", size: int = 0) -> None:
    if not urls:
        path.write_text(json.dumps({"version": 1, "kernels": []}))
        return
    entry = {
        "name": "own",
        "arch": "x86_64",
        "kernel_version": "6.6",
        "sha256": sha256 or hashlib.sha256(content).hexdigest(),
        "size": size or len(content),
        "urls": urls,
    }
    path.write_text(json.dumps({"version": 1, "kernels": [entry]}))


def quiet(_event: object) -> None:
    """Nobody listens."""


def request(kernel: str | None) -> VmRequest:
    return VmRequest(Sizes(1, 256, 1 << 30), kernel=kernel)


@pytest.mark.usefixtures("catalog")
async def test_a_pulled_kernel_is_here_kept_and_says_its_release(kernels: Kernels, server: BadServer) -> None:
    before = kernels.show("own")
    assert (before.here, before.kept, before.release, before.size_bytes) == (False, False, "6.6", len(BUNDLE))
    after = await kernels.pull("own", quiet)
    assert (after.here, after.kept, after.release, after.origin) == (True, True, RELEASE, "catalog")
    await kernels.pull("own", quiet)
    assert len(server.asked(PATH)) == 1


@pytest.mark.usefixtures("catalog")
async def test_a_pull_that_is_cut_goes_on_where_it_was(kernels: Kernels, state: State, server: BadServer) -> None:
    half = len(BUNDLE) // 2
    server.on(PATH, Reply(200, BUNDLE, (("ETag", '"tag"'),), cut=half, ending="close"), serving(BUNDLE))
    assert (await kernels.pull("own", quiet)).here
    assert [one.headers.get("range") for one in server.asked(PATH)] == [None, f"bytes={half}-"]
    assert list((state.downloads_dir / "partial").iterdir()) == []
    assert list((state.downloads_dir / "sha256").iterdir()) == []


@pytest.mark.requirement("KRN-001")
@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, BUNDLE[:-1] + b"x"), "the digest sha256"),
        (Reply(200, BUNDLE + b"x"), "were due"),
        (Reply(404), "not there"),
        (Reply(403), "answers 403"),
        (Reply(302, headers=(("Location", "http://192.0.2.1/x"),)), "not followed without TLS"),
    ],
    ids=range(5),
)
@pytest.mark.usefixtures("catalog")
async def test_what_is_not_the_bundle_publishes_nothing(
    reply: Reply, said: str, kernels: Kernels, state: State, server: BadServer
) -> None:
    server.on(PATH, reply)
    with pytest.raises(BangerError, match=said):
        await kernels.pull("own", quiet)
    assert not kernels.show("own").here
    assert state.kernels.all() == []
    server.on(PATH, serving(BUNDLE))
    assert (await kernels.pull("own", quiet)).here


async def test_the_next_url_is_tried_and_a_file_will_do(
    kernels: Kernels, catalog: Path, server: BadServer, tmp_path: Path
) -> None:
    (tmp_path / "a file.tar.zst").write_bytes(BUNDLE)
    write_catalog(catalog, server.url + "/gone", f"file://{tmp_path}/a%20file.tar.zst")
    assert (await kernels.pull("own", quiet)).here


async def test_a_bundle_without_a_bootable_kernel_is_refused(kernels: Kernels, catalog: Path, tmp_path: Path) -> None:
    content = bundle({"vmlinux": vmlinux(BUILT)})
    (tmp_path / "bundle").write_bytes(content)
    write_catalog(catalog, f"file://{tmp_path}/bundle", content=content)
    with pytest.raises(SpecError, match="it lacks CONFIG_VIRTIO_MMIO"):
        await kernels.pull("own", quiet)
    assert not kernels.show("own").here


async def test_an_imported_kernel_boots_from_what_was_given_even_when_that_is_gone(
    kernels: Kernels, state: State, tmp_path: Path
) -> None:
    image = tmp_path / "vmlinux"
    image.write_bytes(vmlinux(BUILT))
    modules = modules_directory(tmp_path / "tree")
    view = await kernels.take(ImportRequest("mine", str(image), str(modules)), quiet)
    assert (view.release, view.origin, view.here, view.kept) == (RELEASE, "imported", True, True)
    image.unlink()
    await prune(state, PruneRequest(everything=True), quiet)
    assert kernels.show("mine").here
    assert kernels.choice(request("mine")).name == "mine"
    for record in state.actions.all():  # forgotten, it is made again of what was given
        state.actions.forget(record.digest)
    assert not kernels.show("mine").here
    assert state.cas.has(state.kernels.all()[0].source.image.digest)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["mine", DEFAULT_KERNEL, "../x"])
async def test_a_name_that_is_taken_or_no_name_is_refused(name: str, kernels: Kernels, tmp_path: Path) -> None:
    image = tmp_path / "vmlinux"
    image.write_bytes(vmlinux())
    await kernels.take(ImportRequest("mine", str(image)), quiet)
    with pytest.raises(SpecError):
        await kernels.take(ImportRequest(name, str(image)), quiet)


@pytest.mark.parametrize("what", ["missing", "directory", "no kernel"])
async def test_what_cannot_be_imported_leaves_no_name(
    what: str, kernels: Kernels, state: State, tmp_path: Path
) -> None:
    path = tmp_path / what
    if what == "directory":
        path.mkdir()
    elif what == "no kernel":
        path.write_text("hello")
    with pytest.raises(SpecError, match=r"No such file|not a file|Is a directory|no kernel image"):
        await kernels.take(ImportRequest("mine", str(path)), quiet)
    assert state.kernels.all() == []
    assert list(state.scratch.root.iterdir()) == []


async def test_a_kernel_that_a_vm_uses_stays_and_its_users_are_named(
    kernels: Kernels, state: State, tmp_path: Path
) -> None:
    image = tmp_path / "vmlinux"
    image.write_bytes(vmlinux())
    await kernels.take(ImportRequest("mine", str(image)), quiet)
    state.vms.add("1" * 32, "box", request("mine"))
    state.vms.add("2" * 32, "other", request(None))
    assert kernels.show("mine").used_by == ["box"]
    assert kernels.show(DEFAULT_KERNEL).used_by == ["other"]
    with pytest.raises(ConflictError, match="kernel mine is in use by box"):
        kernels.remove("mine")
    state.vms.remove("1" * 32)
    kernels.remove("mine")
    with pytest.raises(NotFoundError):
        kernels.show("mine")
    assert state.cas.all() == []


@pytest.mark.usefixtures("catalog")
async def test_a_removed_kernel_of_the_catalog_can_be_pulled_again(kernels: Kernels, state: State) -> None:
    await kernels.pull("own", quiet)
    kernels.remove("own")
    assert state.cas.all() == []
    assert not kernels.show("own").here
    with pytest.raises(NotFoundError, match="only in the catalog"):
        kernels.remove("own")
    assert (await kernels.pull("own", quiet)).here


async def test_a_pull_asks_anew_and_what_was_known_stays_good_until_there_is_an_answer(
    kernels: Kernels, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = plan_kernel(DEFAULT_CHOICE, "test")
    digest = look_up(state, plan, plan.graph()).digests["kernel.resolve"]
    state.answers.put(digest, {"suite": "old", "architecture": "amd64", "packages": [], "releases": []})
    asked = []

    async def unreachable(*words: object) -> object:
        asked.append(words)
        raise TransientError("no network")

    monkeypatch.setattr("banger.tasks.kernel_resolve.resolve_kernel", unreachable)
    with pytest.raises(BangerError):  # the old answer names no package to fetch
        await kernels.pull(DEFAULT_KERNEL, quiet)
    assert asked
    assert state.answers.get(digest, not_older_than_s=60) == (False, None)
    assert state.answers.get(digest, not_older_than_s=None)[0]


@pytest.mark.requirement("KRN-005")
async def test_an_exported_kernel_is_a_directory_that_can_be_imported_again(kernels: Kernels, tmp_path: Path) -> None:
    image = tmp_path / "vmlinux"
    image.write_bytes(vmlinux(BUILT))
    modules = modules_directory(tmp_path / "tree")
    await kernels.take(ImportRequest("mine", str(image), str(modules)), quiet)
    await kernels.export("mine", tmp_path / "out", quiet)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert (manifest["arch"], manifest["kernel_version"]) == ("x86_64", RELEASE)
    exported = ImportRequest("again", str(tmp_path / "out" / "vmlinux"), str(tmp_path / "out" / "modules"))
    assert (await kernels.take(exported, quiet)).release == RELEASE
    with pytest.raises(ConflictError, match="there is something already"):
        await kernels.export("mine", tmp_path / "out", quiet)
    with pytest.raises(SpecError, match="No such file"):
        await kernels.export("mine", tmp_path / "nowhere" / "out", quiet)
    assert set(os.listdir(tmp_path)) == {"state", "vmlinux", "tree", "out"}  # noqa: PTH208


async def test_what_nobody_knows_is_not_found(kernels: Kernels) -> None:
    with pytest.raises(NotFoundError, match="no kernel called 'nope'"):
        kernels.choice(request("nope"))
    with pytest.raises(NotFoundError):
        await kernels.pull("nope", quiet)


@pytest.mark.usefixtures("catalog")
async def test_a_kernel_that_a_vm_asked_for_stays_by_its_name(kernels: Kernels, state: State, catalog: Path) -> None:
    await kernels.pull("own", quiet)
    kernels.remove("own")
    kernels.keep(request("own"))
    write_catalog(catalog)
    assert kernels.choice(request("own")).name == "own"
    assert [record.name for record in state.kernels.all()] == ["own"]
