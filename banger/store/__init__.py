"""What outlives a run: artifacts, remembered actions, leases, VMs and timings, below one state directory."""
