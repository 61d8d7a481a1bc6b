"""The guest side of a VM: its kernel, its initramfs, the files its image needs, and the way to talk to its agent."""
