"""The model that every contender serves: `examples/breast_cancer`, and versions of it that differ in one parameter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import modelimg
from modelimg.locks import read_lock, select_wheels
from modelimg.oci.values import DEFAULT_PLATFORM
from modelimg_runtime import contract

NAME = "bench-breast-cancer"
LOCK = contract.serving_lock(str(DEFAULT_PLATFORM))
_GLIBC = (2, 36)


def pack_versions(root: Path, count: int) -> list[Path]:
    """Model packages of as many versions: equal requirements, different models.

    Args:
        root: folder for them.
        count: how many; each takes some seconds.
    """
    data = load_breast_cancer(as_frame=True)
    target = data.target.map(dict(enumerate(data.target_names))).rename("diagnosis")
    X_train, X_test, y_train, y_test = train_test_split(
        data.data, target, test_size=0.25, random_state=0, stratify=target
    )
    packages: list[Path] = []
    for number in range(count):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0 + number / 10, max_iter=1000))
        model.fit(X_train, y_train)
        package = modelimg.pack(
            model,
            root / f"package-{number}",
            name=NAME,
            version=f"1.0.{number}",
            train=(X_train, y_train),
            test=(X_test, y_test),
            requirements=packages[0] / LOCK if packages else None,
        )
        packages.append(package.path)
    return packages


def pack_large(root: Path, pins: Path, size: int) -> Path:
    """A package of the same model with ballast, for measuring memory.

    Args:
        root: folder for it.
        pins: lock to use.
        size: of the ballast, in bytes; it does not compress.
    """
    data = load_breast_cancer(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(data.data, data.target)
    model.ballast_ = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    train = (data.data, data.target)
    return modelimg.pack(model, root, name=f"{NAME}-large", version="1.0.0", train=train, requirements=pins).path


def requirements(package: Path) -> str:
    """The package's lock as a ``requirements.txt``: the same versions of the same distributions."""
    manifest = contract.PackageManifest.from_json((package / contract.MANIFEST).read_bytes())
    pins = select_wheels(read_lock(package / LOCK), python=manifest.python, platform=DEFAULT_PLATFORM, glibc=_GLIBC)
    return "".join(f"{pin.name}=={pin.version}\n" for pin in pins)


def example_rows(package: Path) -> list[dict[str, Any]]:
    """Input rows that the package's own examples hold."""
    examples = json.loads((package / contract.EXAMPLES).read_text())
    return [dict(zip(examples["columns"], row, strict=True)) for row in examples["rows"]]
