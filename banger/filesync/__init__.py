"""Files of the user's home for a guest's home: found without leaving what was named, and sent as one tar stream.

What is in them goes through memory in pieces, from the file to the guest's agent: it is not kept, logged or hashed.
"""

from banger.filesync.stream import Copied, Copying
from banger.filesync.walk import FILES_LIMIT, SKIPPED_LINK, TOTAL_LIMIT_BYTES

__all__ = ["FILES_LIMIT", "SKIPPED_LINK", "TOTAL_LIMIT_BYTES", "Copied", "Copying"]
