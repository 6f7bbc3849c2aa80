"""Taking out of a shared object what no loader reads: symbol tables, debug information, the filler of patched files.

What ``strip --strip-unneeded`` does, and one thing more: auditwheel's patchelf moves tables to new segments and fills
the old ones with ``X``, up to 1.2 MB a file. Everything that is mapped and means anything keeps its bytes and its
address; only its place in the file changes. ``.dynsym`` stays, which linking, ``dlsym`` and profilers go by.

A file that is not of the layout below is left as it is: 64 bits, little-endian, a shared object; segments in order, not
overlapping; sections and segments agreeing on what is loaded; no byte that belongs to neither. Source: the System V
ABI, https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html and ch5.pheader.html
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_IDENT = b"\x7fELF\x02\x01\x01"  # 64 bits, little-endian
_SHARED_OBJECT = 3
_PT_NULL, _PT_LOAD, _PT_PHDR = 0, 1, 6
_SHT_NULL, _SHT_SYMTAB, _SHT_STRTAB, _SHT_NOBITS = 0, 2, 3, 8
_ALLOC = 0x2
_PAGE = 4096
_FILLER = b"X\0"
"""What patchelf leaves where it took something away, and what linkers leave between things."""
_DEBUG = (b".debug_", b".zdebug_", b".rela.debug_", b".rel.debug_", b".gnu_debugdata", b".gnu.build.attributes")


class _Segment(NamedTuple):
    """A program header; the names are the specification's."""

    p_type: int
    p_flags: int
    p_offset: int
    p_vaddr: int
    p_paddr: int
    p_filesz: int
    p_memsz: int
    p_align: int

    @property
    def end(self) -> int:
        """The offset behind its bytes in the file."""
        return self.p_offset + self.p_filesz

    def part(self, start: int, end: int) -> Self:
        """The segment that maps only these offsets; what memory it has beyond the file stays with its end."""
        beyond = self.p_memsz - self.p_filesz if end == self.end else 0
        moved = start - self.p_offset
        return self._replace(
            p_offset=start,
            p_vaddr=self.p_vaddr + moved,
            p_paddr=self.p_paddr + moved,
            p_filesz=end - start,
            p_memsz=end - start + beyond,
        )


class _Section(NamedTuple):
    """A section header; the names are the specification's."""

    sh_name: int
    sh_type: int
    sh_flags: int
    sh_addr: int
    sh_offset: int
    sh_size: int
    sh_link: int
    sh_info: int
    sh_addralign: int
    sh_entsize: int

    @property
    def end(self) -> int:
        """The offset behind its bytes in the file."""
        return self.sh_offset + (0 if self.sh_type in (_SHT_NULL, _SHT_NOBITS) else self.sh_size)

    @property
    def is_loaded(self) -> bool:
        """Whether a loader maps it."""
        return bool(self.sh_flags & _ALLOC)


_NO_SECTION = _Section(0, _SHT_NULL, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class _Object:
    """A shared object that has the layout of the module's docstring."""

    data: bytes | bytearray
    header: tuple[int, ...]
    segments: tuple[_Segment, ...]
    sections: tuple[_Section, ...]

    @property
    def loads(self) -> list[_Segment]:
        """What is mapped, by address."""
        return [segment for segment in self.segments if segment.p_type == _PT_LOAD]

    @property
    def headers_end(self) -> int:
        """The offset behind the file's header and the program headers."""
        return _HEADER.size + len(self.segments) * _SEGMENT.size

    def is_filler(self, start: int, end: int) -> bool:
        """Whether nothing but filler is between two offsets."""
        return not self.data[start:end].strip(_FILLER)


def needed_parts(data: bytes | bytearray) -> Sequence[bytes | bytearray | memoryview]:
    """The same shared object without what no loader reads, or as it is where that cannot be done safely.

    Returns:
        What to write one after the other; most are slices of ``data``.
    """
    try:
        parts = _written(_parsed(data))
    except (struct.error, IndexError, ValueError, OverflowError):
        return [data]  # no ELF file, one of another layout, or a damaged one
    return parts if sum(map(len, parts)) < len(data) else [data]


def _parsed(data: bytes | bytearray) -> _Object:
    """Read the headers.

    Raises:
        ValueError: not a file of the layout that this module knows.
        struct.error: cut off.
    """
    header = _HEADER.unpack_from(data)
    ident, kind, segments_at, sections_at = header[0], header[1], header[5], header[6]
    _expect(ident.startswith(_IDENT) and kind == _SHARED_OBJECT and segments_at == _HEADER.size)
    _expect(header[8:10] == (_HEADER.size, _SEGMENT.size) and header[11] == _SECTION.size and header[12] > header[13])
    segments = [_Segment(*_SEGMENT.unpack_from(data, segments_at + i * _SEGMENT.size)) for i in range(header[10])]
    sections = [_Section(*_SECTION.unpack_from(data, sections_at + i * _SECTION.size)) for i in range(header[12])]
    parsed = _Object(data, header, tuple(segments), tuple(sections))
    _check(parsed, (sections_at, sections_at + len(sections) * _SECTION.size))
    return parsed


def _expect(condition: bool) -> None:
    if not condition:
        raise ValueError("an unknown layout")


def _check(parsed: _Object, table: tuple[int, int]) -> None:
    """See the module's docstring; ``table`` is where the section headers are."""
    loads = parsed.loads
    _expect(loads[0].p_offset == 0 and parsed.headers_end <= loads[0].p_filesz)
    for before, after in pairwise(loads):
        _expect(before.end <= after.p_offset and before.p_vaddr + before.p_memsz <= after.p_vaddr)
    for load in loads:
        _expect(load.p_filesz <= load.p_memsz and load.p_align.bit_count() == 1)
        _expect((load.p_vaddr - load.p_offset) % load.p_align == 0)
    mapped = [(load.p_offset, load.end) for load in loads]
    within = [(one.p_offset, one.end) for one in parsed.segments if one.p_type != _PT_LOAD and one.p_filesz]
    within += [(one.sh_offset, one.end) for one in parsed.sections if one.is_loaded and one.end > one.sh_offset]
    _expect(all(any(a <= start and end <= b for a, b in mapped) for start, end in within))
    behind = [one for one in parsed.sections if not one.is_loaded and one.end > one.sh_offset]
    _expect(all(one.sh_addralign <= _PAGE for one in behind))
    apart = [table, *((one.sh_offset, one.end) for one in behind)]
    _expect(all(end <= a or b <= start for start, end in apart for a, b in mapped))
    _expect(max(end for _, end in (*mapped, *apart)) <= len(parsed.data))
    _expect(all(parsed.is_filler(*gap) for gap in _gaps([*mapped, *apart], 0, len(parsed.data))))


def _gaps(ranges: Sequence[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """What of ``start`` to ``end`` is in none of the ranges."""
    for a, b in sorted(ranges):
        if start < min(a, end):
            yield start, min(a, end)
        start = max(start, b)
    if start < end:
        yield start, end


def _unneeded(parsed: _Object) -> set[int]:
    """Indexes of the sections that go: symbols with their names, debug information.

    Raises:
        ValueError: something that stays refers to them, such as relocations kept for a later link.
    """
    names = parsed.sections[parsed.header[13]]
    table = parsed.data[names.sh_offset : names.end]
    unneeded = set()
    for i, section in enumerate(parsed.sections):
        name = table[section.sh_name : table.index(b"\0", section.sh_name)]
        if not section.is_loaded and (section.sh_type == _SHT_SYMTAB or name.startswith(_DEBUG)):
            unneeded.add(i)
    links = {one.sh_link for i, one in enumerate(parsed.sections) if i not in unneeded}
    _expect(not links & {i for i in unneeded if parsed.sections[i].sh_type == _SHT_SYMTAB})
    for i in list(unneeded):
        names_at = parsed.sections[i].sh_link
        is_names = parsed.sections[names_at].sh_type == _SHT_STRTAB and not parsed.sections[names_at].is_loaded
        if is_names and names_at not in links and names_at != parsed.header[13]:
            unneeded.add(names_at)
    return unneeded


def _kept_parts(parsed: _Object, load: _Segment) -> list[_Segment]:
    """A loaded segment without the whole pages of it that are patchelf's filler."""
    used = [(0, parsed.headers_end)]
    used += [(one.p_offset, one.end) for one in parsed.segments if one.p_type != _PT_LOAD]
    used += [(one.sh_offset, one.end) for one in parsed.sections if one.is_loaded]
    filler = []
    for start, end in _gaps(used, load.p_offset, load.end):
        start += -start % load.p_align
        if end < load.end:
            end -= end % load.p_align
        elif load.p_memsz > load.p_filesz:
            continue  # zeroed memory is to follow these bytes
        if end - start >= _PAGE and parsed.is_filler(start, end) and b"X" in parsed.data[start:end]:
            filler.append((start, end))
    return [load.part(*kept) for kept in _gaps(filler, load.p_offset, load.end)]


def _kept_segments(parsed: _Object) -> list[_Segment]:
    """The program headers that go with what is kept, where it was; the segments as they are if there is no room."""
    parts = {load: _kept_parts(parsed, load) if load.p_filesz else [load] for load in parsed.loads}
    segments = [part for one in parsed.segments for part in parts.get(one, [one])]
    spare = len(parsed.segments) - len(segments)
    if spare < 0:
        room = _HEADER.size + len(segments) * _SEGMENT.size
        loaded = [one.sh_offset for one in parsed.sections if one.is_loaded]
        first = next(one.p_filesz for one in segments if one.p_type == _PT_LOAD)
        if room > min([first, *loaded]) or not parsed.is_filler(parsed.headers_end, room):
            return list(parsed.segments)
    segments += [_Segment(_PT_NULL, 0, 0, 0, 0, 0, 0, 0)] * spare
    size = len(segments) * _SEGMENT.size
    return [one._replace(p_filesz=size, p_memsz=size) if one.p_type == _PT_PHDR else one for one in segments]


def _written(parsed: _Object) -> list[bytes | memoryview]:
    """What is loaded first, each segment at the next offset that its address allows; then the other sections.

    Sections that go become empty ones, so that no index of another section moves.
    """
    unneeded, segments = _unneeded(parsed), _kept_segments(parsed)
    loads = [one for one in segments if one.p_type == _PT_LOAD]
    out = _Output(parsed.data)
    moved = [out.add(load.p_offset, load.end, (load.p_vaddr - out.size) % load.p_align) for load in loads]

    def place(offset: int) -> int:
        i = bisect_right(loads, offset, key=lambda load: load.p_offset) - 1
        return moved[i] + min(offset - loads[i].p_offset, loads[i].p_filesz)

    sections = []
    for i, section in enumerate(parsed.sections):
        if i in unneeded:
            section = _NO_SECTION
        elif section.is_loaded:
            section = section._replace(sh_offset=place(section.sh_offset))
        elif section.end > section.sh_offset:
            at = out.add(section.sh_offset, section.end, -out.size % max(section.sh_addralign, 1))
            section = section._replace(sh_offset=at)
        sections.append(section)
    table = b"".join(_SECTION.pack(*section) for section in sections)
    padding = bytes(-out.size % 8)
    header = [*parsed.header]
    header[6], header[10] = out.size + len(padding), len(segments)
    segments = [one._replace(p_offset=place(one.p_offset)) for one in segments]
    head = _HEADER.pack(*header) + b"".join(_SEGMENT.pack(*segment) for segment in segments)
    return [head, memoryview(out.chunks[0])[len(head) :], *out.chunks[1:], padding, table]


class _Output:
    """What is written, as slices of the file that it comes from, none of which is copied."""

    def __init__(self, data: bytes | bytearray) -> None:
        self.chunks: list[bytes | memoryview] = []
        self.size = 0
        self._data = memoryview(data)

    def add(self, start: int, end: int, padding: int) -> int:
        """Append zeros and then a slice; returns where the slice is now."""
        padding = padding if end > start else 0
        self.chunks += [bytes(padding)] * (padding > 0) + [self._data[start:end]]
        self.size += padding + end - start
        return self.size - (end - start)
