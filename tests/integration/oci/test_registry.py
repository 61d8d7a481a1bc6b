"""Pulls from a real registry: what real tools pushed, with every kind of login, and after real cuts."""

import base64
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from banger.host.clock import SystemClock
from banger.model.errors import NotFoundError
from banger.oci import BlobDir, ImageManifest, RegistrySettings, open_source, values
from banger.oci.errors import AuthError, RegistryError
from tests.fakes.badserver import BadServer
from tests.fakes.images import Image, make_image
from tests.fakes.registryd import HTPASSWD, PASSWORD, USER, TokenService, make_authority, registry, upload

pytestmark = pytest.mark.anyio
IMAGE = make_image((300_000, 50_000))
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("plain")) as host:
        yield host


async def pull(
    text: str, tmp_path: Path, environ: dict[str, str] | None = None, mirrors: dict[str, list[str]] | None = None
) -> tuple[ImageManifest, list[bytes]]:
    source = open_source(text, RegistrySettings(mirrors=mirrors or {}, environ=environ or {}), SystemClock())
    image = await source.resolve()
    paths = await source.fetch(image.layers, BlobDir(tmp_path / "blobs"))
    return image, [path.read_bytes() for path in paths]


def logged_in(tmp_path: Path, host: str, password: str = PASSWORD) -> dict[str, str]:
    """An environment with the file that `skopeo login` writes."""
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"auths": {host: {"auth": base64.b64encode(f"{USER}:{password}".encode()).decode()}}}))
    return {"REGISTRY_AUTH_FILE": str(file)}


def run(*argv: str | Path) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


async def test_what_was_pushed_is_pulled_by_tag_and_by_digest(plain: str, tmp_path: Path) -> None:
    upload(plain, "team/app", IMAGE, "1")
    image, layers = await pull(f"{plain}/team/app:1", tmp_path)
    assert layers == IMAGE.layers
    assert image.digest == IMAGE.digest
    assert await pull(f"{plain}/team/app@{image.digest}", tmp_path) == (image, layers)


async def test_a_tag_that_is_not_there_is_said(plain: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN"):
        await pull(f"{plain}/team/nothing:1", tmp_path)


@pytest.mark.parametrize("form", ["oci", "v2s2"])
async def test_what_umoci_made_and_skopeo_pushed_is_pulled_from_everywhere_alike(
    plain: str, tmp_path: Path, form: str
) -> None:
    layout = tmp_path / "layout"
    (tmp_path / "file").write_bytes(b"hello" * 20_000)
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:a")
    run("umoci", "insert", "--image", f"{layout}:a", tmp_path / "file", "/file")
    run("umoci", "insert", "--image", f"{layout}:a", tmp_path / "file", "/etc/again")
    there, archive = f"{plain}/real/{form}:1", tmp_path / "image.tar"
    run("skopeo", "copy", "--format", form, "--dest-tls-verify=false", f"oci:{layout}:a", f"docker://{there}")
    run("skopeo", "copy", f"oci:{layout}:a", f"docker-archive:{archive}:real/app:1")
    seen = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{there}"))
    image, layers = await pull(there, tmp_path)
    assert (image.digest, [layer.digest for layer in image.layers]) == (seen["Digest"], seen["Layers"])
    from_layout, same = await pull(f"oci:{layout}:a", tmp_path)
    assert same == layers
    assert from_layout.config.diff_ids == image.config.diff_ids
    from_archive, tars = await pull(f"docker-archive:{archive}", tmp_path)
    assert from_archive.config.diff_ids == image.config.diff_ids
    assert [layer.digest for layer in from_archive.layers] == list(image.config.diff_ids)
    assert len(tars) == len(layers)


async def test_an_index_that_skopeo_copies_whole_has_our_image(plain: str, tmp_path: Path) -> None:
    other: Image = make_image((10,), architecture="arm64", seed=8)
    for image, tag in ((IMAGE, "amd"), (other, "arm")):
        upload(plain, "team/many", image, tag)
    entries = [
        {"mediaType": values.OCI_MANIFEST, "digest": image.digest, "size": len(image.raw),
         "platform": {"os": "linux", "architecture": image.config["architecture"]}}
        for image in (other, IMAGE)
    ]  # fmt: skip
    index = {"schemaVersion": 2, "mediaType": values.OCI_INDEX, "manifests": entries}
    upload(plain, "team/many", Image([], other.config, index), "1")
    found, _ = await pull(f"{plain}/team/many:1", tmp_path)
    assert found.digest == IMAGE.digest
    run("skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{plain}/team/many:1", f"oci:{tmp_path}/many:1")
    assert (await pull(f"oci:{tmp_path}/many:1", tmp_path))[0] == found


async def test_a_blob_of_which_a_part_is_there_is_gone_on_with(plain: str, tmp_path: Path) -> None:
    upload(plain, "team/app", IMAGE, "1")
    blobs = BlobDir(tmp_path / "blobs")
    source = open_source(f"{plain}/team/app:1", RegistrySettings(), SystemClock())
    layer = (await source.resolve()).layers[0]
    await anyio.Path(blobs.partial_path(layer.digest)).write_bytes(IMAGE.layers[0][:123_456])
    (path,) = await source.fetch([layer], blobs)
    assert path.read_bytes() == IMAGE.layers[0]


async def test_a_registry_with_passwords_is_pulled_from_with_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: it, path: {tmp_path}/htpasswd}}}}\n"
    with registry(tmp_path / "registry", auth) as host:
        upload(host, "team/app", IMAGE, "1", LOGIN)
        _, layers = await pull(f"{host}/team/app:1", tmp_path, logged_in(tmp_path, host))
        assert layers == IMAGE.layers
        with pytest.raises(AuthError) as failure:
            await pull(f"{host}/team/app:1", tmp_path)
        assert failure.value.hint == f"docker login {host} (or skopeo login {host})"
        with pytest.raises(AuthError):
            await pull(f"{host}/team/app:1", tmp_path, logged_in(tmp_path, host, "wrong"))
        run(
            "skopeo",
            "login",
            "--tls-verify=false",
            "--authfile",
            tmp_path / "login.json",
            "-u",
            USER,
            "-p",
            PASSWORD,
            host,
        )
        await pull(f"{host}/team/app:1", tmp_path, {"REGISTRY_AUTH_FILE": str(tmp_path / "login.json")})


async def test_a_registry_with_a_token_service_is_pulled_from_with_and_without_a_login(tmp_path: Path) -> None:
    authority = make_authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    with BadServer() as server:
        service = TokenService(authority, server)
        auth = f"auth: {{token: {{realm: '{server.url}/token', service: it, issuer: it, rootcertbundle: {tmp_path}/ca.pem}}}}\n"  # noqa: E501
        with registry(tmp_path / "registry", auth) as host:
            for name in ("public/app", "team/app"):
                upload(host, name, IMAGE, "1", f"Bearer {service.sign(name, ['pull', 'push'])}")
            _, layers = await pull(f"{host}/public/app:1", tmp_path)
            assert layers == IMAGE.layers
            assert service.log == [{"service": ["it"], "scope": ["repository:public/app:pull"]}]
            await pull(f"{host}/team/app:1", tmp_path, logged_in(tmp_path, host))
            with pytest.raises(AuthError):
                await pull(f"{host}/team/app:1", tmp_path)
            with pytest.raises(AuthError, match="does not accept"):
                await pull(f"{host}/team/app:1", tmp_path, logged_in(tmp_path, host, "wrong"))


async def test_tls_is_verified_and_an_own_authority_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority()
    root = tmp_path / "registry"
    root.mkdir()
    (root / "tls.pem").write_bytes(authority.pem)
    (root / "tls.key").write_bytes(authority.key_pem)
    with registry(root, tls=True) as host:
        upload(host, "team/app", IMAGE, "1", tls=ssl.create_default_context(cafile=str(root / "tls.pem")))
        mirrors = {"host.example": [f"https://{host}"], host: [f"https://{host}"]}
        with pytest.raises(RegistryError, match="certificate is not valid"):
            await pull(f"{host}/team/app:1", tmp_path, mirrors=mirrors)
        monkeypatch.setenv("SSL_CERT_FILE", str(root / "tls.pem"))
        _, layers = await pull("host.example/team/app:1", tmp_path, mirrors=mirrors)
        assert layers == IMAGE.layers
