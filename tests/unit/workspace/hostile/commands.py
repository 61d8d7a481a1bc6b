"""Traps that name a program and wait for git to run it."""

from functools import partial

from tests.unit.workspace.hostile.trap import Ground, Trap, config_trap

_EVIL_VALUES = {
    "core.fsmonitor": '[core]\n\tfsmonitor = "@/evil"',
    "core.fsmonitor version 1": '[core]\n\tfsmonitor = "@/evil"\n\tfsmonitorHookVersion = 1',
    "core.sshCommand": '[core]\n\tsshCommand = "@/evil"\n[remote "origin"]\n\turl = ssh://example.org/x',
    "core.pager": '[core]\n\tpager = "@/evil"',
    "core.editor": '[core]\n\teditor = "@/evil"',
    "core.askPass": '[core]\n\taskPass = "@/evil"',
    "core.gitProxy": '[core]\n\tgitProxy = "@/evil"',
    "core.alternateRefsCommand": '[core]\n\talternateRefsCommand = "@/evil"',
    "core.hooksPath": '[core]\n\thooksPath = "@"',
    "core.virtualFilesystem": '[core]\n\tvirtualFilesystem = "@/evil"',
    "sequence.editor": '[sequence]\n\teditor = "@/evil"',
    "diff.external": '[diff]\n\texternal = "@/evil"',
    "diff driver, command": '[diff "x"]\n\tcommand = "@/evil"',
    "diff driver, textconv": '[diff "x"]\n\ttextconv = "@/evil"\n\tcachetextconv = true',
    "filter, clean": '[filter "x"]\n\tclean = "@/evil"\n\trequired = true',
    "filter, smudge": '[filter "x"]\n\tsmudge = "@/evil"\n\trequired = true',
    "filter, process": '[filter "x"]\n\tprocess = "@/evil"\n\trequired = true',
    "merge driver": '[merge "x"]\n\tdriver = "@/evil"',
    "uploadpack.packObjectsHook": '[uploadpack]\n\tpackObjectsHook = "@/evil"',
    "credential.helper": '[credential]\n\thelper = "!@/evil"',
    "gpg.program": '[gpg]\n\tprogram = "@/evil"\n[log]\n\tshowSignature = true',
    "gpg.ssh.program": '[gpg]\n\tformat = ssh\n[gpg "ssh"]\n\tprogram = "@/evil"\n\tdefaultKeyCommand = "@/evil"',
    "gpg.x509.program": '[gpg]\n\tformat = x509\n[gpg "x509"]\n\tprogram = "@/evil"',
    "pager of each command": '[pager]\n\tls-files = "@/evil"\n\trev-parse = "@/evil"\n\tbundle = "@/evil"',
    "alias of each command": '[alias]\n\tls-files = "!@/evil"\n\trev-parse = "!@/evil"\n\tbundle = "!@/evil"',
    "interactive.diffFilter": '[interactive]\n\tdiffFilter = "@/evil"',
    "difftool and mergetool": '[difftool "x"]\n\tcmd = "@/evil"\n[mergetool "x"]\n\tcmd = "@/evil"',
    "remote.uploadpack": '[remote "origin"]\n\turl = /x\n\tuploadpack = "@/evil"\n\treceivepack = "@/evil"',
    "remote.vcs": '[remote "origin"]\n\tvcs = ext\n\turl = "ext::@/evil"',
    "remote helper ext": '[protocol "ext"]\n\tallow = always\n[remote "origin"]\n\turl = "ext::@/evil"',
    "url.insteadOf": '[url "ext::@/evil "]\n\tinsteadOf = https://\n[remote "origin"]\n\turl = https://example.org/x',
    "trailer": '[trailer "x"]\n\tcommand = "@/evil"\n\tcmd = "@/evil"\n\tifmissing = add',
    "submodule.update": '[submodule "x"]\n\tupdate = "!@/evil"\n\turl = x\n\tactive = true',
    "tar.command": '[tar "tar"]\n\tcommand = "@/evil"',
    "browser and man": '[browser "x"]\n\tcmd = "@/evil"\n[man "x"]\n\tcmd = "@/evil"',
    "sendemail": '[sendemail]\n\tsmtpServer = "@/evil"\n\ttocmd = "@/evil"',
    "gc.recentObjectsHook": '[gc]\n\tauto = 1\n\trecentObjectsHook = "@/evil"',
    "core.untrackedCache with fsmonitor": '[core]\n\tuntrackedCache = true\n\tfsmonitor = "@/evil"',
    "include.path": '[include]\n\tpath = "@/evil.config"',
    "includeIf gitdir": '[includeIf "gitdir:/**"]\n\tpath = "@/evil.config"',
    "includeIf onbranch": '[includeIf "onbranch:**"]\n\tpath = "@/evil.config"',
    "includeIf hasconfig": '[remote "o"]\n\turl = x\n[includeIf "hasconfig:remote.*.url:**"]\n\tpath = "@/evil.config"',
    "trace2 target": '[trace2]\n\tnormalTarget = "@/mark"\n\teventTarget = "@/mark"\n\tperfTarget = "@/mark"',
}

# As githooks(5) lists them.
_HOOKS = (
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-prepare-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "post-index-change",
)

_ENVIRONMENT = {
    "GIT_DIR": "@/other/.git",
    "GIT_COMMON_DIR": "@/other/.git",
    "GIT_WORK_TREE": "@/secrets",
    "GIT_INDEX_FILE": "@/other/.git/index",
    "GIT_OBJECT_DIRECTORY": "@/other/.git/objects",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "@/other/.git/objects",
    "GIT_EXEC_PATH": "@",
    "GIT_SSH_COMMAND": "@/evil",
    "GIT_EXTERNAL_DIFF": "@/evil",
    "GIT_PAGER": "@/evil",
    "GIT_TRACE": "@/mark",
    "GIT_CONFIG": "@/evil.config",
    "GIT_CONFIG_PARAMETERS": "'core.fsmonitor=@/evil'",
    "GIT_CEILING_DIRECTORIES": "@",
    "GIT_NAMESPACE": "x",
    "LD_LIBRARY_PATH": "@",
    "BASH_ENV": "@/evil",
}


def _hook(name: str, ground: Ground) -> None:
    hooks = ground.git_dir / "hooks"
    hooks.mkdir()
    (hooks / name).symlink_to(ground.evil)


def _include(text: str, ground: Ground) -> None:
    (ground.folder / "evil.config").write_text(f'[core]\n\tfsmonitor = "{ground.evil}"\n')
    ground.config(text.replace("@", str(ground.folder)) + "\n")


def _include_inside(ground: Ground) -> None:
    ground.repo.write("evil.config", f'[core]\n\tfsmonitor = "{ground.evil}"\n')
    ground.config("[include]\n\tpath = ../evil.config\n")


def _worktree_config(ground: Ground) -> None:
    ground.config("[extensions]\n\tworktreeConfig = true\n")
    (ground.git_dir / "config.worktree").write_text(f'[core]\n\tfsmonitor = "{ground.evil}"\n')


def _fsmonitor_extension(ground: Ground) -> None:
    ground.repo.git("update-index", "--fsmonitor")
    ground.config(f'[core]\n\tfsmonitor = "{ground.evil}"\n')


def _template_hooks(ground: Ground) -> None:
    hooks = ground.folder / "template/hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").symlink_to(ground.evil)
    ground.config(f'[init]\n\ttemplateDir = "{hooks.parent}"\n')


TRAPS = (
    *(
        Trap(name, partial(_include, text), "git cannot", ships=False)
        if "evil.config" in text
        else config_trap(name, text)
        for name, text in _EVIL_VALUES.items()
    ),
    Trap("include.path within the repository", _include_inside, ships=False),
    *(Trap(f"hook {name}", partial(_hook, name), ships=False) for name in _HOOKS),
    *(
        Trap(f"environment {name}", lambda _ground: None, ships=name == "GIT_DIR", environ=((name, value),))
        for name, value in _ENVIRONMENT.items()
    ),
    Trap("config.worktree", _worktree_config, ships=False),
    Trap("index with an fsmonitor extension", _fsmonitor_extension, ships=False),
    Trap("init.templateDir", _template_hooks),
)
