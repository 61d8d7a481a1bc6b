"""banger that starts the fake daemon: `python -m tests.fakes.cli …`. FAKE_CPUS and FAKE_MEMORY_MIB set the host's size."""

import os
import sys

from banger.cli import main, sizes, start_daemon

start_daemon.DAEMON_MODULE = "tests.fakes.bangerd"
start_daemon.PASSED_PREFIXES = (*start_daemon.PASSED_PREFIXES, "FAKE_")
if "FAKE_CPUS" in os.environ:
    sizes.cpu_count = lambda: int(os.environ["FAKE_CPUS"])
if "FAKE_MEMORY_MIB" in os.environ:
    sizes.memory_mib = lambda: (int(os.environ["FAKE_MEMORY_MIB"]), int(os.environ["FAKE_MEMORY_MIB"]))

if __name__ == "__main__":
    sys.exit(main.main())
