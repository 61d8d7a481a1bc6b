"""banger: a throw-away microVM with a real kernel and your git checkout inside."""

__version__ = "0.1.0"
