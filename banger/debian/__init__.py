"""Debian packages and root filesystems from Debian's signed archive, pinned by sha256, made without root.

In order: `mirror.find_archives` (which archive), `resolve.resolve` (which packages: a Lock), `fetch.fetch` (their
files), `bootstrap.bootstrap` (a root filesystem as a tar) and `kernel.extract_kernel` (a kernel from its package).
"""
