"""What a lock pins, without what it takes to read one: a rebuild remembers the pins and reads no lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelimg.oci.values import Digest


@dataclass(frozen=True)
class WheelPin:
    """One wheel of a lock, pinned to its bytes.

    Attributes:
        name: normalised distribution name.
        version: as the lock states it.
        filename: of the wheel; its tags say where it runs.
        url: where to fetch it, or None for one that the package carries.
        path: relative to the package, or None.
        digest: of its bytes.
        size: in bytes, where the lock states it.
    """

    name: str
    version: str
    filename: str
    url: str | None
    path: str | None
    digest: Digest
    size: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "digest": self.digest.hex}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> WheelPin:
        """Read plain data."""
        return cls(**{**value, "digest": Digest(value["digest"])})
