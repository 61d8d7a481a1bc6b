"""banger that starts the fake daemon: `python -m tests.fakes.cli …`. The environment says what else is not real."""

import os
import sys

import banger
from banger.cli import main, sizes, ssh, start_daemon

start_daemon.DAEMON_MODULE = "tests.fakes.bangerd"
start_daemon.PASSED_PREFIXES = (*start_daemon.PASSED_PREFIXES, "FAKE_")
if "FAKE_CPUS" in os.environ:
    sizes.cpu_count = lambda: int(os.environ["FAKE_CPUS"])
if "FAKE_MEMORY_MIB" in os.environ:
    sizes.memory_mib = lambda: (int(os.environ["FAKE_MEMORY_MIB"]), int(os.environ["FAKE_MEMORY_MIB"]))
if "FAKE_SSH_WAIT_S" in os.environ:
    ssh.SSH_WAIT_S = float(os.environ["FAKE_SSH_WAIT_S"])
if "FAKE_VERSION" in os.environ:
    banger.__version__ = os.environ["FAKE_VERSION"]

if __name__ == "__main__":
    sys.exit(main.main())
