"""The user's git checkout, read without running or trusting any of it, and rebuilt in a guest.

`inspect.inspect_repository` says what would travel, `bundle` and `archive` write it down, `sync.sync_workspace` sends
it and `place.sh` makes it a checkout again, in the guest. Knows nothing of tasks, VMs or SSH: the guest is whatever
runs a command and feeds it a stream.
"""
