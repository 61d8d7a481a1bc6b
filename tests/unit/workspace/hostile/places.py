"""Traps that lead git, or us, to somewhere else: links, redirections, borrowed objects."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.unit.workspace.hostile.trap import Ground, Trap, config_trap
from tests.unit.workspace.repositories import make_repo


def _replace(path: Path, target: Path | str) -> None:
    """Put a link in the place of a file or directory, which keeps to be there under another name."""
    if path.exists() or path.is_symlink():
        path.rename(path.with_name(path.name + ".was"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _git_file(text: str, ground: Ground) -> None:
    ground.git_dir.rename(ground.folder / "moved.git")
    ground.git_dir.write_bytes(text.replace("@", str(ground.folder)).encode())


def _git_link(target: str, ground: Ground) -> None:
    ground.git_dir.rename(ground.folder / "moved.git")
    ground.git_dir.symlink_to(target.replace("@", str(ground.folder)))


def _link_in_git_dir(name: str, target: str, ground: Ground) -> None:
    _replace(ground.git_dir / name, target.replace("@", str(ground.folder)))


def _file_in_git_dir(name: str, text: str, ground: Ground) -> None:
    path = ground.git_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("@", str(ground.folder)))


def _common_dir(ground: Ground) -> None:
    """git follows `commondir` wherever it is; so would a common repository's objects and configuration count."""
    (ground.git_dir / "commondir").write_text(str(ground.other.root / ".git"))


def _foreign_worktree(ground: Ground) -> None:
    """A worktree of the other repository is claimed, which knows nothing of it."""
    place = ground.other.root / ".git/worktrees/x"
    place.mkdir(parents=True)
    (place / "commondir").write_text("../..\n")
    (place / "HEAD").write_text("ref: refs/heads/main\n")
    (ground.folder / "elsewhere").mkdir()
    (place / "gitdir").write_text(f"{ground.folder}/elsewhere/.git\n")
    _git_file(f"gitdir: {place}\n", ground)


def _worktree_outside(ground: Ground) -> None:
    """A worktree's directory that is the attacker's own, with the other repository as what is common."""
    place = ground.folder / "fake/worktrees/x"
    place.mkdir(parents=True)
    (place / "commondir").write_text(f"{ground.other.root}/.git\n")
    (place / "HEAD").write_text("ref: refs/heads/main\n")
    (place / "gitdir").write_text(f"{ground.repo.root}/.git\n")
    _git_file(f"gitdir: {place}\n", ground)


def _submodule_file(ground: Ground) -> None:
    """A submodule's `.git` file whose repository works on the user's secrets."""
    ground.git_dir.rename(ground.folder / "moved.git")
    with (ground.folder / "moved.git/config").open("a") as file:
        file.write(f"[core]\n\tworktree = {ground.secrets}\n")
    ground.git_dir.write_text(f"gitdir: {ground.folder}/moved.git\n")


def _alternates(line: str, ground: Ground) -> None:
    """Objects borrowed from the other repository, and a branch there."""
    oid = ground.other.git("rev-parse", "HEAD")
    _file_in_git_dir("objects/info/alternates", line + "\n", ground)
    (ground.git_dir / "refs/heads/main").write_text(oid + "\n")


def _alternates_of_alternates(ground: Ground) -> None:
    inner = make_repo(ground.repo.root / "inner", "--template=").root / ".git/objects"
    (inner / "info").mkdir(exist_ok=True)
    (inner / "info/alternates").write_text(f"{ground.other.root}/.git/objects\n")
    _alternates(str(inner), ground)


def _tracked_behind_link(ground: Ground) -> None:
    (ground.repo.root / "src").rename(ground.repo.root / "src.was")
    (ground.repo.root / "src").symlink_to(ground.secrets)


def _tracked_name_behind_link(ground: Ground) -> None:
    """The index tracks `keys/id_rsa`; `keys` is a link to where such a file is."""
    ground.repo.write("keys/id_rsa", "x")
    ground.repo.git("add", "keys/id_rsa")
    (ground.repo.root / "keys/id_rsa").unlink()
    (ground.repo.root / "keys").rmdir()
    (ground.repo.root / "keys").symlink_to(ground.secrets)


def _link_behind_links(ground: Ground) -> None:
    root = ground.repo.root
    (root / "one").symlink_to("two")
    (root / "two").symlink_to(ground.secrets)
    ground.repo.git("update-index", "--add", "--cacheinfo", f"100644,{'1' * 40},one/id_rsa")


def _file_is_link(ground: Ground) -> None:
    _replace(ground.repo.root / "README", ground.secrets / "id_rsa")


def _untracked_links(ground: Ground) -> None:
    (ground.repo.root / "keys").symlink_to(ground.secrets)
    (ground.repo.root / "key").symlink_to(ground.secrets / "id_rsa")
    (ground.repo.root / "proc").symlink_to("/proc/self/root")


def _ignore_is_link(name: str, ground: Ground) -> None:
    _replace(ground.repo.root / name, ground.secrets / "id_rsa")


def _other_as_submodule_dir(ground: Ground) -> None:
    """A nested repository whose `.git` file names the other one: its files are not ours to list."""
    ground.repo.write("nested/.git", f"gitdir: {ground.other.root}/.git\n")
    ground.repo.write("nested/file", "x")


def _head_of(text: str) -> Callable[[Ground], None]:
    return partial(_file_in_git_dir, "HEAD", text)


def _replace_ref(ground: Ground) -> None:
    """Every reader that believes in replacements sees the other tree."""
    head = ground.repo.git("rev-parse", "HEAD")
    first = ground.repo.git("rev-parse", "HEAD~1")
    ground.repo.git("update-ref", f"refs/replace/{head}", first)


def _grafts(ground: Ground) -> None:
    _file_in_git_dir("info/grafts", ground.repo.git("rev-parse", "HEAD") + "\n", ground)


def _bare_inside(ground: Ground) -> None:
    """A bare repository among the files; its configuration would run a program for whoever stands in it."""
    ground.repo.git("init", "-q", "--bare", "--template=", "lib")
    ground.repo.write(
        "lib/config", f'[core]\n\tbare = true\n\tfsmonitor = "{ground.evil}"\n\tworktree = {ground.secrets}\n'
    )


_OUTSIDE = r"outside of the repository|symbolic link"

TRAPS = (
    config_trap("core.worktree to secrets", '[core]\n\tworktree = "@/secrets"', ships=True),
    config_trap("core.worktree relative", '[core]\n\tworktree = "../../secrets"', ships=True),
    config_trap("core.worktree to /", "[core]\n\tworktree = /", ships=True),
    config_trap("core.bare with core.worktree", '[core]\n\tbare = true\n\tworktree = "@/secrets"', says="bare"),
    config_trap("core.excludesFile to a secret", '[core]\n\texcludesFile = "@/secrets/id_rsa"'),
    config_trap("core.attributesFile to a secret", '[core]\n\tattributesFile = "@/secrets/id_rsa"'),
    config_trap(
        "core values of other systems", "[core]\n\tignoreCase = true\n\tprecomposeUnicode = true\n\tsymlinks = false"
    ),
    config_trap("blame.ignoreRevsFile to a secret", '[blame]\n\tignoreRevsFile = "@/secrets/id_rsa"'),
    config_trap("gpg.ssh.allowedSignersFile", '[gpg "ssh"]\n\tallowedSignersFile = "@/secrets/id_rsa"'),
    config_trap("mailmap.file to a secret", '[mailmap]\n\tfile = "@/secrets/id_rsa"'),
    config_trap("http.cookieFile and sslKey", '[http]\n\tcookieFile = "@/secrets/id_rsa"\n\tsaveCookies = true'),
    Trap(".git file to another repository", partial(_git_file, "gitdir: @/other/.git\n"), "does not name"),
    Trap(".git file, relative", partial(_git_file, "gitdir: ../other/.git\n"), "does not name"),
    Trap(".git file to nothing", partial(_git_file, "gitdir: @/nowhere\n"), "not there"),
    Trap(".git file to secrets", partial(_git_file, "gitdir: @/secrets\n"), "does not name|not a git"),
    Trap(
        ".git file to a device", partial(_git_file, "gitdir: /dev/zero\n"), "belongs|does not name|not a git|directory"
    ),
    Trap(".git file to itself", partial(_git_file, "gitdir: .git\n"), "directory|not|does not name"),
    Trap(".git file, empty", partial(_git_file, ""), "gitdir"),
    Trap(".git file with NUL", partial(_git_file, "gitdir: @/other\0/.git\n"), "not there"),
    Trap(".git file, long", partial(_git_file, "gitdir: " + "x" * 70000), "larger"),
    Trap(".git file with much text", partial(_git_file, "gitdir: @/other/.git\nand more\n"), "not there|does not name"),
    Trap(".git link to another repository", partial(_git_link, "@/other/.git"), "symbolic link"),
    Trap(".git link to its own, moved", partial(_git_link, "@/moved.git"), "symbolic link"),
    Trap(".git link to itself", partial(_git_link, ".git"), "symbolic link"),
    Trap(".git link to nothing", partial(_git_link, "@/nowhere"), "symbolic link"),
    Trap("worktree that is not known", _foreign_worktree, "does not name"),
    Trap("worktree outside of what it names", _worktree_outside, "not one of the worktrees"),
    Trap("submodule that works on secrets", _submodule_file, "does not name"),
    Trap("commondir to another repository", _common_dir, "commondir"),
    *(
        Trap(f".git/{name} is a link to {target}", partial(_link_in_git_dir, name, target), says)
        for name, target, says in (
            ("config", "@/secrets/id_rsa", "symbolic link"),
            ("config", "@/other/.git/config", "symbolic link"),
            ("index", "@/other/.git/index", "symbolic link"),
            ("HEAD", "@/secrets/id_rsa", "symbolic link"),
            ("HEAD", "@/other/.git/HEAD", "symbolic link"),
            ("shallow", "@/secrets/id_rsa", "symbolic link"),
            ("packed-refs", "@/secrets/id_rsa", "symbolic link"),
            ("objects", "@/other/.git/objects", "."),
            ("objects/pack", "@/other/.git/objects/pack", None),
            ("refs", "@/other/.git/refs", "."),
            ("refs/heads", "@/other/.git/refs/heads", "."),
            ("refs/heads/main", "@/other/.git/refs/heads/main", "."),
            ("info", "@/secrets", None),
            ("info/exclude", "@/secrets/id_rsa", "symbolic link"),
            ("info/attributes", "@/secrets/id_rsa", "symbolic link"),
            ("info/sparse-checkout", "@/secrets/id_rsa", "symbolic link"),
            ("objects/info/alternates", "@/secrets/id_rsa", "symbolic link"),
            ("objects/info/commit-graph", "@/secrets/id_rsa", "symbolic link"),
            ("logs", "@/secrets", None),
            ("commondir", "@/secrets/id_rsa", "commondir|symbolic link"),
            ("worktrees", "@/other/.git/worktrees", None),
        )
    ),
    Trap("alternates, absolute", partial(_alternates, "@/other/.git/objects"), _OUTSIDE),
    Trap("alternates, relative", partial(_alternates, "../../../other/.git/objects"), _OUTSIDE),
    Trap("alternates, quoted", partial(_alternates, '"@/other/.git/objects"'), _OUTSIDE),
    Trap("alternates, escaped", partial(_alternates, '"@/oth\\145r/.git/objects"'), "."),
    Trap("alternates, after a comment", partial(_alternates, "# x\n\n@/other/.git/objects"), _OUTSIDE),
    Trap("alternates of alternates", _alternates_of_alternates, "."),
    Trap("http-alternates", partial(_file_in_git_dir, "objects/info/http-alternates", "http://127.0.0.1:1/x\n")),
    Trap("tracked directory is a link", _tracked_behind_link, "behind a symbolic link"),
    Trap("tracked name behind a link to secrets", _tracked_name_behind_link, "behind a symbolic link"),
    Trap("tracked name behind a link to a link", _link_behind_links, "behind a symbolic link"),
    Trap("tracked file is a link to a secret", _file_is_link),
    Trap("untracked links to secrets", _untracked_links),
    Trap(".gitignore is a link to a secret", partial(_ignore_is_link, ".gitignore")),
    Trap(".gitattributes is a link to a secret", partial(_ignore_is_link, ".gitattributes")),
    Trap("src/.gitignore is a link to a secret", partial(_ignore_is_link, "src/.gitignore")),
    Trap("nested .git file to another repository", _other_as_submodule_dir),
    Trap("HEAD names a file above", _head_of("ref: ../../other/.git/refs/heads/main\n"), "git cannot"),
    Trap("HEAD climbs out of refs", _head_of("ref: refs/heads/../../../other/.git/HEAD\n"), "."),
    Trap("HEAD names a secret", _head_of("ref: @/secrets/id_rsa\n"), "."),
    Trap("HEAD names itself", _head_of("ref: HEAD\n"), "."),
    Trap("HEAD names an unborn branch of odd name", _head_of("ref: refs/heads/$(id) ;x\n"), "cannot be the name"),
    Trap("HEAD is empty", _head_of(""), "."),
    Trap("HEAD is binary", _head_of("\0\0\0\n"), "."),
    Trap("replacement of HEAD", _replace_ref),
    Trap("grafts", _grafts),
    Trap("bare repository inside", _bare_inside),
    Trap("bare repository inside, named", _bare_inside, "bare repository", start="lib"),
    Trap("bare repository inside, a folder of it named", _bare_inside, "bare repository", start="lib/refs"),
)
