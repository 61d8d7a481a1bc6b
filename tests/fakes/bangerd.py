"""bangerd over the fake service: `python -m tests.fakes.bangerd`."""

import sys

from banger.daemon.main import run
from tests.fakes.service import open_fake_service

if __name__ == "__main__":
    sys.exit(run(lambda: open_fake_service))
