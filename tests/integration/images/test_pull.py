"""`banger image`, with its daemon, against a real registry: what is fetched, what is not, and what is kept. No VM."""

import base64
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.badserver import BadServer
from tests.fakes.images import Image, make_image, stacked
from tests.fakes.registryd import HTPASSWD, PASSWORD, USER, TokenService, make_authority, registry, requests_to, upload
from tests.real import Banger

BASE = make_image((400_000, 60_000))
MORE = stacked(BASE, 90_000, 77)
OTHER = make_image((30_000,), seed=500)


@dataclass
class Registry:
    """A registry with a log."""

    host: str
    root: Path
    seen: int = 0

    def put(self, name: str, image: Image, tag: str = "1") -> str:
        upload(self.host, name, image, tag)
        return f"{self.host}/{name}:{tag}"

    def news(self) -> list[str]:
        """What it was asked for since the last time."""
        asked = requests_to(self.root)
        fresh, self.seen = asked[self.seen :], len(asked)
        return fresh

    def blobs(self) -> list[str]:
        return [one for one in self.news() if "/blobs/" in one]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    root = tmp_path_factory.mktemp("registry")
    with registry(root, log=True) as host:
        yield Registry(host, root)


@pytest.fixture(scope="module")
def banger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Banger]:
    banger = Banger(tmp_path_factory.mktemp("home"))
    yield banger
    banger.stop()
    assert banger.litter() == []


def show(banger: Banger, ref: str) -> dict[str, object]:
    view = json.loads(banger.ok("image", "show", ref, "--json"))
    assert isinstance(view, dict)
    return view


@pytest.mark.requirement("IMG-014")
def test_an_image_is_fetched_once_and_a_second_pull_asks_for_no_blob(banger: Banger, server: Registry) -> None:
    ref = server.put("team/base", BASE)
    server.news()
    assert banger.ok("image", "pull", ref, "--quiet") == "base-1\n"
    assert len(server.blobs()) == 3  # the config and two layers
    view = show(banger, "base-1")
    assert view | {"state": "ready", "digest": BASE.digest, "layers": 2, "vms": []} == view
    assert show(banger, ref) == view
    assert banger.ok("image", "pull", ref, "--quiet") == "base-1\n"
    assert server.blobs() == []
    assert show(banger, ref) | {"added_at": 0} == view | {"added_at": 0}


def test_a_second_pull_takes_no_time(banger: Banger, server: Registry) -> None:
    ref = server.put("team/base", BASE)
    banger.ok("image", "pull", ref, "--quiet")
    client = banger.client()
    assert client is not None
    took = []
    with client:
        for _ in range(5):
            begun = time.perf_counter()
            operation = client.post("/v1/images/pull", {"source": ref})
            assert isinstance(operation, dict)
            events = list(client.stream(f"/v1/operations/{operation['id']}/events"))
            took.append(time.perf_counter() - begun)
            assert events[-1]["event"] == "result"
    assert min(took) < 0.3, took


@pytest.mark.requirement("IMG-014")
def test_an_image_that_shares_its_base_fetches_what_is_new(banger: Banger, server: Registry) -> None:
    banger.ok("image", "pull", server.put("team/base", BASE), "--quiet")
    server.news()
    assert banger.ok("image", "pull", server.put("other/more", MORE), "--name", "more", "--quiet") == "more\n"
    fetched = [one.rpartition("/")[2] for one in server.blobs() if one.startswith("GET")]
    assert len(fetched) == 2  # the config and the one new layer
    assert not {f"sha256:{one}" for one in fetched} & set(BASE.config["rootfs"]["diff_ids"])


def test_an_image_that_is_here_needs_no_registry(banger: Banger, server: Registry) -> None:
    ref = server.put("team/alone", OTHER)
    banger.ok("image", "pull", ref, "--quiet")
    server.news()
    for image in ("alone-1", ref):
        plan = json.loads(banger.ok("plan", "vm", "create", "--image", image, "--json"))
        cached = {node["id"]: node["cache"] for node in plan["nodes"] if node["kind"].startswith("image.")}
        assert set(cached) == {"image.stored.root", "image.stored.work"}
    assert banger.ok("image", "pull", ref, "--pull", "missing", "--quiet") == "alone-1\n"
    assert banger.ok("image", "pull", ref, "--pull", "never", "--quiet") == "alone-1\n"
    assert server.news() == []


def test_what_is_not_here_is_not_pulled_if_that_is_not_wanted(banger: Banger, server: Registry) -> None:
    ref = server.put("team/absent", OTHER)
    done = banger.run("image", "pull", ref, "--pull", "never")
    assert done.returncode == 1
    assert "is not to be pulled" in done.stderr
    done = banger.run("vm", "create", "--image", ref, "--pull", "never")
    assert "is not to be pulled" in done.stderr
    plan = json.loads(banger.ok("plan", "vm", "create", "--image", ref, "--json"))
    assert {"image.find", "image.manifest", "image.flatten"} <= {node["id"] for node in plan["nodes"]}


def test_a_tag_that_moves_is_followed_when_asked_to(banger: Banger, server: Registry) -> None:
    ref = server.put("team/moving", BASE)
    banger.ok("image", "pull", ref, "--quiet")
    server.put("team/moving", MORE)
    banger.ok("image", "pull", ref, "--pull", "missing", "--quiet")
    assert show(banger, ref)["digest"] == BASE.digest
    banger.ok("image", "pull", ref, "--quiet")
    assert show(banger, ref)["digest"] == MORE.digest
    assert show(banger, "moving-1")["layers"] == 3


def test_a_layout_and_an_archive_are_read_again_when_they_change(
    banger: Banger, server: Registry, tmp_path: Path
) -> None:
    ref = server.put("team/files", BASE)
    layout, archive = tmp_path / "layout", tmp_path / "saved.tar"

    def write(reference: str) -> None:
        shutil.rmtree(layout, ignore_errors=True)
        archive.unlink(missing_ok=True)
        for dest in (f"oci:{layout}:latest", f"docker-archive:{archive}:team/files:1"):
            copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", dest]
            subprocess.run(copy, check=True, timeout=60)

    write(ref)
    assert banger.ok("image", "pull", f"oci:{layout}", "--quiet") == "layout\n"
    assert banger.ok("image", "pull", f"docker-archive:{archive}", "--name", "saved-file", "--quiet") == "saved-file\n"
    assert show(banger, "layout")["layers"] == 2
    # The tar in the layers is the same, however they are packed: so are the disks.
    assert show(banger, "layout")["root_digest"] == show(banger, "saved-file")["root_digest"]
    write(server.put("team/files", MORE, "2"))
    banger.ok("image", "pull", f"oci:{layout}", "--pull", "missing", "--quiet")
    assert show(banger, "layout")["layers"] == 3
    shutil.rmtree(layout)
    banger.ok("image", "pull", f"oci:{layout}", "--pull", "missing", "--quiet")


def test_two_images_do_not_get_one_name(banger: Banger, server: Registry) -> None:
    first, second = server.put("one/same", BASE), server.put("two/same", OTHER)
    assert banger.ok("image", "pull", first, "--quiet") == "same-1\n"
    other = banger.ok("image", "pull", second, "--quiet").strip()
    assert other != "same-1"
    assert show(banger, other)["digest"] == OTHER.digest
    done = banger.run("image", "pull", second, "--name", "same-1")
    assert "there is an image called same-1 already" in done.stderr


def test_a_deleted_image_is_gone_with_what_only_it_needed(banger: Banger, server: Registry) -> None:
    unique = stacked(BASE, 200_000, 4711)
    banger.ok("image", "pull", server.put("team/base", BASE), "--quiet")
    ref = server.put("team/short-lived", unique)
    banger.ok("image", "pull", ref, "--quiet")
    view = show(banger, ref)
    assert "deleted short-lived-1" in banger.ok("image", "delete", "short-lived-1")
    assert banger.run("image", "show", ref).returncode == 1
    digests = {entry["digest"] for entry in json.loads(banger.ok("cache", "ls", "--json"))}
    assert not {view["root_digest"], view["work_digest"]} & digests
    assert show(banger, "base-1")["state"] == "ready"
    server.news()
    banger.ok("image", "pull", ref, "--quiet")
    assert show(banger, ref)["root_digest"] == view["root_digest"]


def test_a_collection_of_everything_leaves_images_their_disks(banger: Banger, server: Registry) -> None:
    ref = server.put("team/kept", OTHER)
    banger.ok("image", "pull", ref, "--quiet")
    banger.ok("cache", "prune", "--all")
    server.news()
    assert show(banger, ref)["state"] == "ready"
    banger.ok("image", "pull", ref, "--quiet")
    assert server.blobs() == []
    owners = [entry["owners"] for entry in json.loads(banger.ok("cache", "ls", "--json")) if entry["owners"]]
    assert any("image kept-1" in names for names in owners)


@pytest.mark.requirement("IMG-003", "IMG-004", "IMG-024")
def test_files_of_ones_own_get_a_name_and_then_a_place_in_the_cache(
    banger: Banger, server: Registry, tmp_path: Path
) -> None:
    banger.ok("image", "pull", server.put("team/base", BASE), "--quiet")
    root, copy = str(show(banger, "base-1")["root_digest"]).removeprefix("sha256:"), tmp_path / "root.ext4"
    shutil.copy(banger.state / "cas" / "sha256" / root[:2] / root, copy)
    assert banger.ok("image", "register", "mine", "--rootfs", str(copy)) == "mine\n"
    assert show(banger, "mine")["state"] == "files"
    assert "already" in banger.run("image", "register", "mine", "--rootfs", str(copy)).stderr
    plan = json.loads(banger.ok("plan", "vm", "create", "--image", "mine", "--json"))
    assert {"image.import.root", "image.empty_work"} <= {node["id"] for node in plan["nodes"]}
    banger.ok("image", "promote", "mine", "--quiet")
    copy.unlink()
    assert show(banger, "mine")["state"] == "ready"
    assert show(banger, "mine")["root_digest"] == f"sha256:{root}"
    assert "banger's already" in banger.run("image", "promote", "mine").stderr
    banger.ok("image", "delete", "mine")


BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.mark.requirement("IMG-018")
def test_a_private_registry_takes_the_users_password_and_a_wrong_one_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD + "\n")
    auth = f"auth: {{htpasswd: {{realm: it, path: {tmp_path}/htpasswd}}}}\n"
    with registry(tmp_path / "registry", auth) as host:
        upload(host, "private/app", OTHER, "1", BASIC)
        _pull_with_logins(tmp_path, host, f"{host}/private/app:1")


@pytest.mark.requirement("IMG-018")
def test_a_token_service_is_asked_with_the_users_password(tmp_path: Path) -> None:
    authority = make_authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    with BadServer() as server:
        service = TokenService(authority, server)
        realm = f"{{realm: '{server.url}/token', service: it, issuer: it, rootcertbundle: {tmp_path}/ca.pem}}"
        with registry(tmp_path / "registry", f"auth: {{token: {realm}}}\n") as host:
            upload(host, "private/app", OTHER, "1", f"Bearer {service.sign('private/app', ['pull', 'push'])}")
            _pull_with_logins(tmp_path, host, f"{host}/private/app:1")


def _login(tmp_path: Path, host: str, password: str) -> str:
    """The file that `docker login` writes."""
    file = tmp_path / f"{password}.json"
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    file.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return str(file)


def _pull_with_logins(tmp_path: Path, host: str, ref: str) -> None:
    wrong, right = Banger(tmp_path / "wrong"), Banger(tmp_path / "right")
    try:
        done = wrong.run("image", "pull", ref, "--quiet", REGISTRY_AUTH_FILE=_login(tmp_path, host, "not-it"))
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) <= 2, done.stderr  # the error, and what to try
        assert host in done.stderr
        assert "not-it" not in done.stderr
        assert (
            right.ok("image", "pull", ref, "--quiet", REGISTRY_AUTH_FILE=_login(tmp_path, host, PASSWORD)) == "app-1\n"
        )
        for path in (right.state / "logs").iterdir():
            assert PASSWORD not in path.read_text()
    finally:
        wrong.stop()
        right.stop()


@pytest.mark.requirement("IMG-005", "IMG-006", "IMG-010")
def test_a_name_of_the_catalog_is_had_from_the_first_source_that_gives_it(server: Registry, tmp_path: Path) -> None:
    ref, archive, catalog = server.put("team/listed", BASE), tmp_path / "bundle.tar", tmp_path / "catalog.json"
    copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{ref}", f"docker-archive:{archive}:x/y:1"]
    subprocess.run(copy, check=True, timeout=60)
    data = archive.read_bytes()
    bundle = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "urls": [f"file://{archive}"]}
    damaged = bundle | {"sha256": "0" * 64}
    entries = {"bundled": [bundle], "fallen-back": [damaged, {"reference": ref}], "lost": [damaged]}
    images = [{"name": name, "description": name, "sources": sources} for name, sources in entries.items()]
    catalog.write_text(json.dumps({"version": 1, "images": images}))
    banger = Banger(tmp_path / "home")
    banger.env["BANGER_IMAGE_CATALOG"] = str(catalog)
    try:
        assert '"catalog"' in banger.ok("image", "show", "bundled", "--json")
        assert banger.ok("image", "pull", "bundled", "--quiet") == "bundled\n"
        done = banger.run("image", "pull", "fallen-back")
        assert done.stdout == "fallen-back\n", done.stderr
        assert f"trying {ref}" in done.stderr
        assert show(banger, "bundled")["root_digest"] == show(banger, "fallen-back")["root_digest"]
        server.news()
        for name in ("bundled", "fallen-back"):
            assert banger.ok("image", "pull", name, "--pull", "missing", "--quiet") == f"{name}\n"
        assert server.news() == []
        assert banger.run("image", "pull", "lost").returncode == 1
    finally:
        banger.stop()
