"""`banger vm set`: give stopped VMs another shape."""

import click

from banger.cli.many import Asked, each, which
from banger.cli.options import as_json, every, many_vms, quiet
from banger.cli.sizes import parse_memory
from banger.model.errors import SpecError
from banger.model.vm import check_vm_name, parse_size


@click.command("set")
@many_vms
@every
@click.option("--vcpu", type=int, metavar="INT", help="Virtual CPUs.")
@click.option("--memory", metavar="SIZE", help="Memory, in MiB or as 2G.")
@click.option("--disk-size", metavar="SIZE", help="Work disk, /root. It can only grow.")
@click.option("--nat/--no-nat", default=None, help="Let the VM reach beyond this host, or not.")
@click.option("--name", metavar="NEW", help="Another name, for one VM; also while it runs.")
@quiet
@as_json
def command(  # noqa: PLR0913 - what there is to a VM
    names: tuple[str, ...],
    *,
    every: bool,
    vcpu: int | None,
    memory: str | None,
    disk_size: str | None,
    nat: bool | None,
    name: str | None,
    quiet: bool,
    json_output: bool,
) -> None:
    """Give stopped VMs another shape, which they have from their next start on."""
    change = {
        "vcpus": vcpu,
        "memory_mib": None if memory is None else parse_memory(memory),
        "disk_bytes": None if disk_size is None else parse_size(disk_size),
        "nat": nat,
        "name": None if name is None else check_vm_name(name),
    }
    given = {key: value for key, value in change.items() if value is not None}
    if not given:
        raise SpecError("nothing is to be changed", hint="banger vm set --help")
    wanted = which(names, every=every)
    if name is not None and len(set(wanted)) != 1:
        raise SpecError("--name needs exactly one VM")
    each(wanted, Asked("PATCH", body=given), is_quiet=quiet, json_output=json_output)
