"""Images from registries, OCI layouts and `docker save` archives, as verified blobs on disk.

In order: `open_source` (what the user wrote), `ImageSource.resolve` (which image it is now: an `ImageManifest`) and
`ImageSource.fetch` (its layers, as files in a `BlobDir`). What is in the layers is not looked at here.
"""

from banger.oci.blobs import BlobDir
from banger.oci.reference import Reference, parse_reference
from banger.oci.registry import RegistrySettings
from banger.oci.source import ImageSource, open_source
from banger.oci.values import ImageConfig, ImageManifest, Layer

__all__ = [
    "BlobDir",
    "ImageConfig",
    "ImageManifest",
    "ImageSource",
    "Layer",
    "Reference",
    "RegistrySettings",
    "open_source",
    "parse_reference",
]
