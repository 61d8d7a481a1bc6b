"""nftables through its own library: no program is run, so the worker needs none that it may execute.

Only scripts that `banger.worker.ruleset` wrote are given to it. One script is one transaction: all of it or nothing.
"""

import ctypes

_TERSE = 1 << 11


class NftError(Exception):
    """The transaction was refused; nothing of it was done. `errno` is the kernel's reason; the text is nft's."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno


class Nft:
    """A context of libnftables, for one thread."""

    def __init__(self) -> None:
        """Load the library. Raises OSError if it is not installed."""
        self._library = library = ctypes.CDLL("libnftables.so.1", use_errno=True)
        library.nft_ctx_new.restype = ctypes.c_void_p
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).restype = ctypes.c_char_p
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._context = ctypes.c_void_p(library.nft_ctx_new(0))
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_output_set_flags(self._context, ctypes.c_uint(_TERSE))

    def run(self, script: str) -> str:
        """Perform a script and return what it printed. Raises NftError."""
        ctypes.set_errno(0)
        failed = self._library.nft_run_cmd_from_buffer(self._context, script.encode("ascii"))
        errno = ctypes.get_errno()
        printed: bytes = self._library.nft_ctx_get_output_buffer(self._context)
        text: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        if failed:
            raise NftError(errno, text.decode(errors="replace"))
        return printed.decode(errors="replace")
