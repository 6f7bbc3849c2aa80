"""Ask a running model: ready, predict (the packed examples) or refuse (a row that breaks the contract).

Usage: python ask URL ready | predict PACKAGE | refuse PACKAGE
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def ask(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def example_rows(package: str) -> list[dict[str, Any]]:
    examples = json.loads((Path(package) / "examples.json").read_text())
    return [dict(zip(examples["columns"], row, strict=True)) for row in examples["rows"]]


def main(url: str, what: str, package: str = "") -> int:
    if what == "ready":
        try:
            return int(ask(f"{url}/readyz")[0] != 200)
        except OSError:
            return 1
    rows = example_rows(package)[:2]
    if what == "refuse":
        first, second = list(rows[0])[:2]
        rows = [{**rows[0], first: "large", second: None, "no such column": 1}]
    status, answer = ask(f"{url}/predict?probabilities=true", {"rows": rows})
    print(f"HTTP {status}")
    print(json.dumps(answer, indent=2))
    return int((status == 200) != (what == "predict"))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
