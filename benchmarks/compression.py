"""Compare compressors, levels and block sizes on a layer: ``python -m benchmarks.compression LAYER.tar``.

Each runs as in `modelimg.oci.compression`: blocks compressed side by side on two threads, the result hashed. The layer
is in memory beforehand, so the disk is not measured. The best of three runs counts; processor time is the steadier
figure on a machine that others use. The output is a Markdown table.
"""

from __future__ import annotations

import hashlib
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import deflate

from modelimg.oci.compression import import_zstd

_MIB = 1 << 20
_RUNS, _THREADS = 3, 2
_BLOCKS = (1, 2, 4)

Compressor = Callable[[memoryview], bytes]


def contenders() -> Iterator[tuple[str, int, Compressor]]:
    """Name, block in MiB, and what compresses one."""
    zstd = import_zstd()
    for block in _BLOCKS:
        for level in (1, 3, 4, 5, 6):
            yield f"libdeflate -{level}", block, lambda data, level=level: deflate.gzip_compress(data, level)
        yield "zstd -3", block, lambda data: zstd.compress(data, 3)
    for level in (1, 6):
        yield f"zlib -{level}", 2, lambda data, level=level: zlib.compress(data, level, 31)


def measure(data: memoryview, block: int, compressor: Compressor) -> tuple[float, float, int]:
    """Least seconds of wall and of processor time, and bytes."""
    pieces = [data[start : start + block * _MIB] for start in range(0, len(data), block * _MIB)]
    wall, processor = [], []
    for _ in range(_RUNS):
        started, used = time.perf_counter(), time.process_time()
        hasher, size = hashlib.sha256(), 0
        with ThreadPoolExecutor(_THREADS) as pool:
            for compressed in pool.map(compressor, pieces):
                hasher.update(compressed)
                size += len(compressed)
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return min(wall), min(processor), size


def main() -> None:
    """Print the table."""
    data = memoryview(Path(sys.argv[1]).read_bytes())
    print(f"{len(data) / 1e6:.0f} MB, {_THREADS} threads, best of {_RUNS}\n")
    print("| compressor | block | s | processor s | MB |\n|---|---|---|---|---|")
    for name, block, compressor in contenders():
        wall, processor, size = measure(data, block, compressor)
        print(f"| {name} | {block} MiB | {wall:.2f} | {processor:.2f} | {size / 1e6:.1f} |", flush=True)


if __name__ == "__main__":
    main()
