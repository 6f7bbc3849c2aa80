"""Numbers that say when what was remembered of a base no longer holds."""

BASE_ASSEMBLY_VERSION = 2
"""Raised with every change that alters a byte of a base made from the same packages."""

SELECTION_VERSION = 1
"""Raised with every change to which packages follow from the same indexes."""
