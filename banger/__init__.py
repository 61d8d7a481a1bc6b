"""A throw-away microVM with a real kernel and your git checkout inside, in one command; or in one line of Python."""

TYPE_CHECKING = False  # what type checkers know by this name, without the import
if TYPE_CHECKING:
    from banger.api import AsyncClient, AsyncVm, BangerError, Client, Completed, CompletedError, Vm

__version__ = "0.1.0"
__all__ = ["AsyncClient", "AsyncVm", "BangerError", "Client", "Completed", "CompletedError", "Vm", "__version__"]


def __getattr__(name: str) -> object:
    """Load the interface for Python when it is first wanted: the command line is faster without it."""
    if name not in __all__:
        raise AttributeError(f"module 'banger' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module("banger.api"), name)
    return value
