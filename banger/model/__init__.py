"""Immutable values that every other package shares. No I/O, no clock, no randomness."""
