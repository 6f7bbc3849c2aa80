"""``input_profile.json``: what the training inputs looked like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from modelimg_runtime.contract import ProfileSettings, canonical_json
from modelimg_runtime.profile.column import ColumnProfile

FORMAT_VERSION: Final = 1
"""Version of a profile's layout; a reader refuses a newer one."""


@dataclass(frozen=True)
class InputProfile:
    """See the module.

    Attributes:
        rows: of the data.
        columns: their profiles, in the order of the data.
        settings: that the bins were chosen with.
        dataset_sha256: digest of the data, as in the provenance; None where that is unknown.
        dataset_kind: of the digest, ``file`` or ``frame-v1``.
        schema_sha256: digest of the input schema that the model is packed with.
    """

    rows: int
    columns: tuple[ColumnProfile, ...]
    settings: ProfileSettings
    dataset_sha256: str | None = None
    dataset_kind: str | None = None
    schema_sha256: str | None = None

    def __post_init__(self) -> None:
        for column in self.columns:
            if column.n != self.rows:
                raise ValueError(f"column {column.name!r} has {column.n} values, and the profile {self.rows} rows")
        if len({*self.names}) != len(self.columns):
            raise ValueError("the profile has two columns of one name")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    def merge(self, other: InputProfile) -> InputProfile:
        """Of two parts that were counted in the same bins; digests stay where both have the same.

        Raises:
            ValueError: other columns, bins or settings.
        """
        if (self.names, self.settings) != (other.names, other.settings):
            raise ValueError("only profiles of the same columns and settings add up")
        same_data = (self.dataset_kind, self.dataset_sha256) == (other.dataset_kind, other.dataset_sha256)
        return replace(
            self,
            rows=self.rows + other.rows,
            columns=tuple(a.merge(b) for a, b in zip(self.columns, other.columns, strict=True)),
            dataset_kind=self.dataset_kind if same_data else None,
            dataset_sha256=self.dataset_sha256 if same_data else None,
            schema_sha256=self.schema_sha256 if self.schema_sha256 == other.schema_sha256 else None,
        )

    def to_json(self) -> str:
        """Canonical JSON, ending in a line break."""
        return canonical_json(
            {
                "format_version": FORMAT_VERSION,
                "rows": self.rows,
                "columns": [column.to_dict() for column in self.columns],
                "settings": asdict(self.settings),
                "dataset": {"sha256": self.dataset_sha256, "kind": self.dataset_kind},
                "schema_sha256": self.schema_sha256,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> InputProfile:
        """Read ``input_profile.json``.

        Raises:
            ValueError: not JSON, of a newer format, or with a field that is missing or cannot be.
        """
        data = read_document(text, "an input profile")
        try:
            return cls(
                rows=data["rows"],
                columns=tuple(map(ColumnProfile.from_dict, data["columns"])),
                settings=settings_from_dict(data["settings"]),
                dataset_sha256=data["dataset"]["sha256"],
                dataset_kind=data["dataset"]["kind"],
                schema_sha256=data["schema_sha256"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the input profile lacks or misnames a field: {error}") from error


def read_document(text: str | bytes, what: str) -> dict[str, Any]:
    """The object in a profile's JSON, of a format that is known here.

    Raises:
        ValueError: no JSON object, or of a newer format.
    """
    data = json.loads(text)
    version = data.get("format_version") if isinstance(data, dict) else None
    if type(version) is not int or not isinstance(data, dict):
        raise ValueError(f"this is not {what}")
    if version > FORMAT_VERSION:
        raise ValueError(f"{what} has format {version}; this modelimg reads up to {FORMAT_VERSION}")
    return data


def settings_from_dict(data: Mapping[str, Any]) -> ProfileSettings:
    """Settings from JSON; an unknown one is a ``TypeError``."""
    return ProfileSettings(**{each.name: data[each.name] for each in fields(ProfileSettings)})
