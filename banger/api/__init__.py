"""banger from Python: `banger.Client`, and `banger.AsyncClient` for who has an event loop.

    with banger.Client().run(workspace="~/src/app") as vm:
        print(vm.exec(["make", "test"]).stdout.decode())

Everything goes through the owner's daemon, as with the command line; it is started if it is not there. What fails
raises a `banger.BangerError` with a message and, where there is one, the next command to type as `hint`.
"""

from banger.api.client import AsyncClient, Client
from banger.api.machine import AsyncVm, Completed, CompletedError, Vm
from banger.model.errors import BangerError

__all__ = ["AsyncClient", "AsyncVm", "BangerError", "Client", "Completed", "CompletedError", "Vm"]
