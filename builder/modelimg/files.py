"""Writing a small file whole or not at all."""

from __future__ import annotations

from pathlib import Path

from modelimg.oci.writing import replacing


def replace_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that a reader sees the old file or the new one, readable by all whatever the umask.

    Raises:
        OSError: the file cannot be written; what was there before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        stream.write(text.encode())
