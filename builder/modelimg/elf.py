"""Taking the debug information out of an ELF file: sections that no loader maps and nobody debugs in a served image.

What ``strip --strip-debug`` does, for shared objects as linkers lay them out: everything that is loaded stays where it
is, byte for byte; the sections behind it are written again without ``.debug_*``. Symbols stay, for profilers. A file of
any other layout is left as it is. Source: the System V ABI, https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_IDENT = b"\x7fELF\x02\x01\x01"  # 64 bits, little-endian
_NULL, _NOBITS = 0, 8
_ALLOC = 0x2
_MAX_ALIGNMENT = 4096


@dataclass(frozen=True)
class _Section:
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
        return self.sh_offset + (0 if self.sh_type in (_NULL, _NOBITS) else self.sh_size)

    def pack(self) -> bytes:
        """The header's bytes."""
        return _SECTION.pack(*vars(self).values())


def without_debug(data: bytes) -> bytes:
    """The same shared object without its ``.debug_*`` sections, or the same bytes where that cannot be done safely."""
    try:
        return _without_debug(data)
    except (struct.error, IndexError, ValueError, OverflowError):
        return data  # no ELF file, or a damaged one


def _without_debug(data: bytes) -> bytes:
    header = list(_HEADER.unpack_from(data))
    segments_at, sections_at, segment_count, section_count, names_index = (
        *header[5:7],
        header[10],
        header[12],
        header[13],
    )
    if not header[0].startswith(_IDENT) or header[9] != _SEGMENT.size or header[11] != _SECTION.size:
        return data
    sections = [_Section(*_SECTION.unpack_from(data, sections_at + i * _SECTION.size)) for i in range(section_count)]
    names = data[sections[names_index].sh_offset : sections[names_index].end]
    debug = [_is_debug(section, names) for section in sections]
    loaded = [_SEGMENT.unpack_from(data, segments_at + i * _SEGMENT.size) for i in range(segment_count)]
    keep_to = max(
        [segment[2] + segment[5] for segment in loaded] + [s.end for s in sections if s.sh_flags & _ALLOC], default=0
    )
    if not any(debug) or keep_to > len(data) or not _is_behind(sections, keep_to, sections_at, len(data)):
        return data
    return _rewrite(data, header, sections, debug, keep_to)


def _is_debug(section: _Section, names: bytes) -> bool:
    name = names[section.sh_name : names.index(b"\0", section.sh_name)] if section.sh_name < len(names) else b""
    return name.startswith(b".debug_") and not section.sh_flags & _ALLOC


def _is_behind(sections: Sequence[_Section], keep_to: int, sections_at: int, size: int) -> bool:
    """Whether all that may move lies behind all that is loaded, as linkers put it, and within the file."""
    movable = [s for s in sections if s.sh_type not in (_NULL, _NOBITS) and not s.sh_flags & _ALLOC]
    return sections_at >= keep_to and all(
        keep_to <= section.sh_offset and section.end <= size and section.sh_addralign <= _MAX_ALIGNMENT
        for section in movable
    )


def _rewrite(data: bytes, header: list[int], sections: list[_Section], debug: list[bool], keep_to: int) -> bytes:
    """Debug sections become empty ones, so that no index of another section moves."""
    out = bytearray(data[:keep_to])
    written = []
    for section, is_debug in zip(sections, debug, strict=True):
        if is_debug:
            section = _Section(0, _NULL, 0, 0, 0, 0, 0, 0, 0, 0)
        elif section.sh_type not in (_NULL, _NOBITS) and not section.sh_flags & _ALLOC:
            out += bytes(-len(out) % max(section.sh_addralign, 1))
            body = data[section.sh_offset : section.end]
            section = replace(section, sh_offset=len(out))
            out += body
        written.append(section)
    out += bytes(-len(out) % 8)
    header[6] = len(out)
    out += b"".join(section.pack() for section in written)
    out[: _HEADER.size] = _HEADER.pack(*header)
    return bytes(out)
