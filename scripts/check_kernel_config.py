"""Say what a kernel's config lacks that VMs need: `check_kernel_config.py CONFIG FRAGMENT`. Status 1 if anything."""

import sys
from pathlib import Path

from banger.kernels.needs import missing_options, read_config


def main(config: str, fragment: str) -> int:
    """Compare them."""
    found, wanted = (read_config(Path(path).read_text().splitlines()) for path in (config, fragment))
    missing = missing_options(found, wanted)
    for option in missing:
        print(f"{config}: {option} is not built in", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
