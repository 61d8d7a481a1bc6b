"""Write ext4 images from tar streams, and clone and grow them.

An image is a function of the tar's tree and of `ImageOptions`: no host file is unpacked, no clock is read.
"""

from banger.ext4.options import ExtraEntry, ImageOptions, ImageStats
from banger.ext4.writer import write_image

__all__ = ["ExtraEntry", "ImageOptions", "ImageStats", "write_image"]
