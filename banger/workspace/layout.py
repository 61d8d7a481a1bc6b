"""What of the guest's `.git` can be written without git: each program that the guest need not start is time saved.

The layout is gitrepository-layout(5), with format 0 (1 for sha256).
"""

from banger.workspace.values import Workspace

FOLDERS = ("objects", "refs", "hooks", "info")

_RAW = "* -text !eol -ident -filter !working-tree-encoding\n"
"""Files are to be made with the bytes that they had, whatever .gitattributes says of line ends, filters, encodings."""


def git_files(workspace: Workspace) -> dict[str, str]:
    """Return the files of `.git`, by path. `info/attributes` is for the time of the checkout only."""
    return {
        "HEAD": f"ref: refs/heads/{workspace.branch or 'main'}\n",  # if detached, then by `new_refs`
        "config": _config(workspace),
        "info/attributes": _RAW,
        "banger-workspace": f"{workspace.digest}\n",
    }


def _config(workspace: Workspace) -> str:
    object_format = workspace.repository.object_format
    lines = ["[core]", f"repositoryformatversion = {int(object_format != 'sha1')}"]
    lines += ["filemode = true", "bare = false", "logallrefupdates = true"]
    if object_format != "sha1":
        lines += ["[extensions]", f"objectformat = {object_format}"]
    if workspace.author:
        lines += ["[user]", f"name = {_quoted(workspace.author.name)}", f"email = {_quoted(workspace.author.email)}"]
    if workspace.origin:
        lines += [
            '[remote "origin"]',
            f"url = {_quoted(workspace.origin)}",
            "fetch = +refs/heads/*:refs/remotes/origin/*",
        ]
    return "".join(f"{line}\n" if line.startswith("[") else f"\t{line}\n" for line in lines)


def _quoted(value: str) -> str:
    """Quote a printable value as git-config(1), "Syntax", has it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def new_refs(workspace: Workspace) -> str:
    """Return the refs as `git update-ref -z --stdin` reads them.

    The branch that is checked out here comes along; if the guest uses its name for another commit, or it has none, then
    as a ref that is no branch, so that git keeps the history.
    """
    if workspace.base is None or workspace.head is None:
        return ""
    refs: dict[str, str] = {}
    if workspace.source_branch is not None:
        refs[f"refs/heads/{workspace.source_branch}"] = workspace.head
    detach = f"option no-deref\0update HEAD\0{workspace.base}\0\0"
    if workspace.branch is not None:
        detach = ""
        refs[f"refs/heads/{workspace.branch}"] = workspace.base
    if workspace.head not in refs.values() and workspace.head != workspace.base:
        refs["refs/banger/head"] = workspace.head
    return "".join(f"create {ref}\0{oid}\0" for ref, oid in refs.items()) + detach
