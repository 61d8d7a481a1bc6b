"""The user's git checkout, read without running or trusting any of it, and rebuilt in a guest.

`inspect.inspect_repository` says what would travel, `describe.describe` writes that down, `sync.sync_workspace` does
it. Knows nothing of tasks, VMs or SSH: the guest is whatever runs a command and feeds it a stream.
"""
