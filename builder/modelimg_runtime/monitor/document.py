"""``/monitor.json``: what was counted, complete enough to compute every statistic of it with the packed profiles.

A document holds the counters of one replica or of several, each under an id that is its own for as long as it counts
on. Documents add up: counters of different replicas are united, and of two states of the same counters the later one
is kept. So neither the order in which documents are added matters, nor that one is added twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from modelimg_runtime.monitor.counts import Counts, iso, seconds, total
from modelimg_runtime.monitor.span import Span

FORMAT_VERSION: Final = 1
"""Version of the document's layout; a reader refuses a newer one."""


@dataclass(frozen=True)
class Identity:
    """Whose counts they are; only those of one identity add up.

    Attributes:
        name: of the model.
        version: of the model.
        model_sha256: digest of its file.
        input_sha256: digest of ``input_profile.json``.
        output_sha256: digest of ``output_profile.json``.
    """

    name: str
    version: str
    model_sha256: str
    input_sha256: str
    output_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": {"name": self.name, "version": self.version, "sha256": self.model_sha256},
            "profiles": {"input_sha256": self.input_sha256, "output_sha256": self.output_sha256},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Identity:
        """From JSON; what is missing or of another type is a ``KeyError`` or ``TypeError``."""
        model, profiles = data["model"], data["profiles"]
        texts = (model["name"], model["version"], model["sha256"], profiles["input_sha256"], profiles["output_sha256"])
        if not all(type(text) is str for text in texts):
            raise TypeError("a name or digest that is no text")
        return cls(*texts)


@dataclass(frozen=True)
class Replica:
    """What one replica has counted.

    Attributes:
        id: of its counters.
        total: since they began.
        windows: beginning in seconds since 1970 → counts of the windows that are still known.
    """

    id: str
    total: Counts
    windows: Mapping[int, Counts]

    def later(self, other: Replica) -> Replica:
        """Of two states of the same counters: all windows that either knows, each as far as it was counted."""
        windows = dict(self.windows)
        for start, counts in other.windows.items():
            windows[start] = counts.later(windows[start]) if start in windows else counts
        return Replica(self.id, self.total.later(other.total), dict(sorted(windows.items())))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        windows = [{"start": iso(start), **counts.to_dict()} for start, counts in sorted(self.windows.items())]
        return {"id": self.id, "total": self.total.to_dict(), "windows": windows}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Replica:
        """From JSON; what is missing or of another type is a ``KeyError``, ``TypeError`` or ``ValueError``."""
        if type(data["id"]) is not str:
            raise TypeError("a replica's id that is no text")
        windows = {int(seconds(each["start"]) or 0): Counts.from_dict(each) for each in data["windows"]}
        return cls(data["id"], Counts.from_dict(data["total"]), dict(sorted(windows.items())))


@dataclass(frozen=True)
class Document:
    """See the module.

    Attributes:
        identity: whose counts they are.
        window_seconds: length of a window.
        written: when the counts were read, in seconds since 1970.
        replicas: sorted by their ids.
    """

    identity: Identity
    window_seconds: int
    written: float
    replicas: tuple[Replica, ...]

    @property
    def windows(self) -> dict[int, Counts]:
        """Beginning in seconds since 1970 → counts of all replicas."""
        found: dict[int, list[Counts]] = {}
        for replica in self.replicas:
            for start, counts in replica.windows.items():
                found.setdefault(start, []).append(counts)
        return {start: total(found[start]) for start in sorted(found)}

    def counts(self, span: Span | None = None) -> Counts:
        """The sum over a span of time; since the counters began where None."""
        if span is None:
            return total([replica.total for replica in self.replicas])
        low, high = span.bounds(self.written)
        return total(
            [counts for start, counts in self.windows.items() if start + self.window_seconds > low and start < high]
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "format_version": FORMAT_VERSION,
            **self.identity.to_dict(),
            "window_seconds": self.window_seconds,
            "written": iso(self.written),
            "replicas": [replica.to_dict() for replica in self.replicas],
        }

    def to_json(self) -> str:
        """Compact JSON with sorted keys, ending in a line break."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Document:
        """Read a document; keys that are not known, such as the server's ``report``, are left out.

        Raises:
            ValueError: not JSON, of a newer format, or with a field that is missing or cannot be.
        """
        data = json.loads(text)
        version = data.get("format_version") if isinstance(data, dict) else None
        if type(version) is not int or "replicas" not in data:
            raise ValueError("this is no document of /monitor.json")
        if version > FORMAT_VERSION:
            raise ValueError(f"the document has format {version}; this modelimg reads up to {FORMAT_VERSION}")
        try:
            return cls._of(data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the document lacks or misnames a field: {error}") from error

    @classmethod
    def _of(cls, data: Mapping[str, Any]) -> Document:
        length = data["window_seconds"]
        if type(length) is not int or length < 1:
            raise TypeError("a window's length that is none")
        replicas = _united(map(Replica.from_dict, data["replicas"]))
        return cls(Identity.from_dict(data), length, seconds(data["written"]) or 0.0, replicas)


def add(documents: Iterable[Document]) -> Document:
    """The sum of documents of replicas, or of days.

    Raises:
        ValueError: there are none, or they are of different models, profiles or lengths of windows.
    """
    return reduce(_plus, documents)


def _plus(one: Document, two: Document) -> Document:
    if one.identity != two.identity:
        raise ValueError("only documents of one model and its profiles add up")
    if one.window_seconds != two.window_seconds:
        raise ValueError(
            f"only windows of one length add up, and these are of {one.window_seconds} and {two.window_seconds} seconds"
        )
    return Document(
        one.identity, one.window_seconds, max(one.written, two.written), _united([*one.replicas, *two.replicas])
    )


def _united(replicas: Iterable[Replica]) -> tuple[Replica, ...]:
    found: dict[str, Replica] = {}
    for replica in replicas:
        found[replica.id] = found[replica.id].later(replica) if replica.id in found else replica
    return tuple(found[key] for key in sorted(found))
