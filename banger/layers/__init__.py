"""Flatten the layers of a container image into one ext4 image: no root, no unpacking onto the host, one pass.

An image is a function of its layers' bytes and of `Request`: no host file is unpacked, no clock is read, and neither
threads nor the machine decide where something is. `banger.layers.child.flatten` writes it in a confined process,
`banger.layers.guest.banger_request` says what an image for a VM has on top.
"""

from banger.layers.options import Compression, Facts, Flattened, Layer, Limits, Request, Seed

__all__ = ["Compression", "Facts", "Flattened", "Layer", "Limits", "Request", "Seed"]
