"""Configurations written by hand that cannot be: name, text, the line that is named, and words of the message."""

from typing import NamedTuple


class Bad(NamedTuple):
    """`line` None: no line is named."""

    text: str
    line: int | None
    says: str


_HOST_AND_GUEST = 'host = "~/a"\nguest = "~/a"'


def _value(key: str, *values: str) -> dict[str, Bad]:
    table, dot, name = key.rpartition(".")
    head = f"[{table}]\n" if dot else ""
    return {f"{key} = {value[:40]}": Bad(f"{head}{name} = {value}\n", 2 if dot else 1, key) for value in values}


def _entry(at: str, text: str, says: str) -> Bad:
    """The third entry of three, with something wrong on the line that says `at`."""
    good = '[[file_sync]]\nhost = "~/a"\nguest = "~/a"\n'
    whole = f"{good}{good}[[file_sync]]\n{text}\n"
    lines = whole.splitlines()
    numbers = [number for number, line in enumerate(lines, 1) if line.startswith(at) and number > 6]
    return Bad(whole, numbers[0], says)


def _host(value: str, says: str = "file_sync[2].host") -> Bad:
    return _entry("host", f'host = {value}\nguest = "~/a"', says)


def _guest(value: str, says: str = "file_sync[2].guest") -> Bad:
    return _entry("guest", f'host = "~/a"\nguest = {value}', says)


def _mode(value: str) -> Bad:
    return _entry("mode", f"{_HOST_AND_GUEST}\nmode = {value}", "file_sync[2].mode")


_NO_STRING = ("1", "true", "1.5", "[]", "{}", "2020-01-01", "[1]", '["a"]')
_NO_PATH = (
    '""', '"a"', '"./a"', '"../a"', '"~"', '"~root/a"', '"~other"', '"/a/../b"', '"~/../b"', '"/.."', '"a/~/b"',
    r'"/a\u0000b"', r'"/a\nb"', r'"/\u001b[2J"', f'"/{"x" * 5000}"', r'"/\u007f"',
)  # fmt: skip
_NO_SIZE = (
    '""', '"8"', '"8GX"', '"-1G"', '"8 g b"', '"1.5G"', '"G"', '"\uff18G"', '"99999999999G"', "true", "1.0", "[]"
)  # fmt: skip

BAD: dict[str, Bad] = {
    **_value("ssh_key_path", *_NO_STRING, *_NO_PATH),
    **_value("firecracker_bin", *_NO_STRING[:3], *_NO_PATH[:6]),
    **_value("catalogs.images", *_NO_STRING[:3], *_NO_PATH[:6]),
    **_value("catalogs.kernels", *_NO_STRING[:3], *_NO_PATH[:6]),
    **_value("templates", "1", "0", '"yes"', '""', "[]", "{}", "1.0"),
    **_value("daemon_idle_s", "0", "-1", "true", '"soon"', "inf", "nan", "-inf", "1e99", "[]", '""', '"-1"'),
    **_value("vm_defaults.image", *_NO_STRING, '""', f'"{"x" * 2000}"', r'"a\u0000"', r'"a\u009bb\u001b"'),
    **_value("vm_defaults.vcpu", "0", "-1", "33", "true", "2.0", '"two"', '""', "[]", "{}", "1" + "0" * 23, '"²"'),
    **_value("vm_defaults.memory", *_NO_SIZE[2:], "0", "-1", "127", "1" + "0" * 23, '"1M"', '"2T"'),
    **_value("vm_defaults.disk_size", *_NO_SIZE, "8", "8589934592", '"255M"', '"17T"', "{}"),
    **_value("mirrors", "1", "true", '"https://a"', "[]", '["https://a"]'),
    **_value("file_sync", "1", "true", '"~/a"', "{}", "[1]", '["~/a"]', "[[]]"),
    **_value("vm_defaults", "1", "true", '"x"', "[]", "[{}]"),
    **_value("catalogs", "1", '"x"'),
    "mirror without a scheme": Bad('[mirrors]\n"a.org" = ["b.org"]\n', 2, "mirrors.'a.org'[0]"),
    "mirror of plain http": Bad('[mirrors]\n"a.org" = ["https://b.org", "http://b.org"]\n', 2, "mirrors.'a.org'[1]"),
    "mirror with a password": Bad('[mirrors]\n"a.org" = ["https://me:secret@b.org"]\n', 2, "mirrors"),
    "mirror with a query": Bad('[mirrors]\n"a.org" = ["https://b.org/?x"]\n', 2, "mirrors"),
    "mirror of ftp": Bad('[mirrors]\n"a.org" = ["ftp://b.org"]\n', 2, "mirrors"),
    "mirrors as one string": Bad('[mirrors]\n"a.org" = "https://b.org"\n', 2, "mirrors.'a.org'"),
    "mirrors of numbers": Bad('[mirrors]\n"a.org" = [1]\n', 2, "mirrors.'a.org'[0]"),
    "mirror of no registry": Bad('[mirrors]\n"a b" = ["https://b.org"]\n', 2, "is not the name of a registry"),
    "mirror of a URL": Bad('[mirrors]\n"https://a.org" = ["https://b.org"]\n', 2, "is not the name of a registry"),
    "mirror in lines": Bad('[mirrors]\n"a.org" = [\n  "https://b.org",\n  "b.org",\n]\n', 2, "mirrors.'a.org'[1]"),
    "key that is not known": Bad("colour = 1\n", 1, "colour: there is no such key"),
    "key that nearly is": Bad('# x\n\nssh_key_pat = "~/a"\n', 3, "did you mean ssh_key_path?"),
    "key in the wrong place": Bad("vcpu = 2\n", 1, "did you mean vm_defaults.vcpu?"),
    "key of a table that nearly is": Bad('[vm_defaults]\nmemroy = "2G"\n', 2, "did you mean memory?"),
    "table that nearly is": Bad("[vm_default]\nvcpu = 2\n", 1, "did you mean vm_defaults?"),
    "table in a table": Bad("[vm_defaults.image]\nx = 1\n", 1, "vm_defaults.image"),
    "table in an unknown one": Bad("[a.b.c]\nx = 1\n", 1, "a: there is no such key"),
    "list of tables for a table": Bad("[[vm_defaults]]\nvcpu = 2\n", 1, "vm_defaults: is not a table"),
    "table for a list of tables": Bad('[file_sync]\nhost = "~/a"\n', 1, "file_sync: is not a list of tables"),
    "dotted key that is not known": Bad("vm_defaults.vcpus = 2\n", 1, "vm_defaults.vcpus"),
    "inline table": Bad("vm_defaults = { vcpu = 2, memori = 1 }\n", 1, "vm_defaults.memori"),
    "key of nothing": Bad('"" = 1\n', 1, "''"),
    "key that a terminal would obey": Bad(r'"\u001b[2J" = 1' + "\n", 1, r"'\x1b[2J'"),
    "key with a dot in it": Bad('"vm_defaults.vcpu" = 2\n', 1, "there is no such key"),
    "web_listen_addr": Bad('web_listen_addr = "127.0.0.1:1"\n', 1, "there is no such key"),
    "key twice": Bad("templates = true\ntemplates = false\n", 2, "is not TOML"),
    "table twice": Bad("[vm_defaults]\nvcpu = 1\n[vm_defaults]\nmemory = 1\n", 3, "is not TOML"),
    "string without an end": Bad('ssh_key_path = "~/a\nx = 1\n', 1, "is not TOML"),
    "nothing but a word": Bad("templates\n", 1, "is not TOML"),
    "value without a key": Bad("= 1\n", 1, "is not TOML"),
    "YAML": Bad("templates: true\n", 1, "is not TOML"),
    "JSON": Bad('{"templates": true}\n', 1, "is not TOML"),
    "octal as in C": Bad("daemon_idle_s = 0600\n", 1, "is not TOML"),
    "a date that is none": Bad("templates = 2020-13-45\n", 1, "is not TOML"),
    "NUL": Bad("templates = true\n\0", 2, "is not TOML"),
    "a comment with a control character": Bad("# \x1b\n", 1, "is not TOML"),
    "carriage returns alone": Bad("templates = true\rcolour = 1\r", 1, "is not TOML"),
    "very deep": Bad("templates = " + "[" * 20000, None, "nested too deeply"),
    "very deep tables": Bad("x = " + "{a=" * 3000 + "\n", None, ""),
    "a very long number": Bad("daemon_idle_s = " + "9" * 6000 + "\n", None, "is not TOML"),
    "host of nothing": _host('""'),
    "host that is relative": _host('"a"'),
    "host of a user": _host('"~root/a"'),
    "host that goes up": _host('"~/../a"'),
    "host that goes up in the middle": _host('"/home/../etc/shadow"'),
    "host that is a number": _host("1"),
    "host that is a list": _host("[]"),
    "host with NUL": _host(r'"~/a\u0000b"'),
    "host with a newline": _host(r'"~/a\nb"'),
    "guest of nothing": _guest('""'),
    "guest that is relative": _guest('"a"'),
    "guest outside of the home": _guest('"/etc/passwd"'),
    "guest beside the home": _guest('"/rootkit/a"'),
    "guest that goes up": _guest('"~/../etc/passwd"'),
    "guest that goes up from /root": _guest('"/root/../etc/passwd"'),
    "guest of a user": _guest('"~me/a"'),
    "guest that is the home": _guest('"~/"'),
    "guest that is the home, twice over": _guest('"/root//./"'),
    "guest that is /root": _guest('"/root"'),
    "guest that is a tilde": _guest('"~"'),
    "guest where the key goes": _guest('"~/.ssh//authorized_keys"', "the key that it logs in with"),
    "guest that is a number": _guest("7"),
    "mode without quotes": _mode("600"),
    "mode in TOML's octal": _mode("0o600"),
    "mode of words": _mode('"rw-------"'),
    "mode of nothing": _mode('""'),
    "mode of two digits": _mode('"77"'),
    "mode with setuid": _mode('"4755"'),
    "mode of five digits": _mode('"00644"'),
    "mode with an eight": _mode('"0800"'),
    "mode in other digits": _mode('"٠٦٠٠"'),
    "mode with a sign": _mode('"-644"'),
    "mode with a blank": _mode('"0644 "'),
    "no host": _entry("[[file_sync]]", 'guest = "~/a"', "file_sync[2]: has no 'host'"),
    "no guest": _entry("[[file_sync]]", 'host = "~/a"', "file_sync[2]: has no 'guest'"),
    "nothing at all": _entry("[[file_sync]]", "", "file_sync[2]: has no 'host'"),
    "a key of file_sync that nearly is": _entry(
        "mod", 'host = "~/a"\nguest = "~/a"\nmod = "0600"', "did you mean mode?"
    ),
    "a table in file_sync": _entry(
        "[file_sync.mode]", 'host = "~/a"\nguest = "~/a"\n[file_sync.mode]', "file_sync[2].mode"
    ),
    "201 entries": Bad('[[file_sync]]\nhost = "~/a"\nguest = "~/a"\n' * 201, 1, "has more than 200 entries"),
}
