"""Flatten the layers of a container image into one ext4 image: no root, no unpacking onto the host, one pass.

An image is a function of its layers' bytes and of `Request`: no host file is unpacked, no clock is read, and neither
threads nor the machine decide where something is.
"""

from banger.layers.child import flatten
from banger.layers.guest import banger_request
from banger.layers.options import Compression, Flattened, Layer, Limits, Request, Seed

__all__ = ["Compression", "Flattened", "Layer", "Limits", "Request", "Seed", "banger_request", "flatten"]
