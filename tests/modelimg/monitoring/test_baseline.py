"""The packed profiles are the same from a folder and from an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelimg.errors import ImageError, PackageError
from modelimg.fetch import Fetcher
from modelimg.monitoring.baseline import baseline_of
from modelimg_runtime import contract
from small_images import image_of, in_layout


def test_a_folder_and_an_image_have_the_same(make, packed, own: Fetcher, tmp_path: Path) -> None:
    path, baseline = packed(make.baseline())
    tree = {f"modelimg/model/{file.name}": file.read_bytes() for file in path.iterdir() if file.is_file()}
    image = in_layout(image_of({"etc/debian_version": b"12"}, tree), tmp_path / "layout")
    assert baseline_of(str(path), own) == baseline_of(image, own) == baseline


def test_what_has_no_profiles_is_told_so(write_package, own: Fetcher, tmp_path: Path) -> None:
    path = write_package().path
    with pytest.raises(PackageError, match=r"nothing to compare with: the package has no input_profile.json"):
        baseline_of(str(path), own)
    with pytest.raises(PackageError, match="there is no model package at"):
        baseline_of(str(tmp_path / "none"), own)
    with pytest.raises(ImageError, match=r"holds no /modelimg/model/modelimg.json"):
        baseline_of(in_layout(image_of({"etc/debian_version": b"12"}), tmp_path / "layout"), own)


@pytest.mark.parametrize("name", [contract.INPUT_PROFILE, contract.OUTPUT_PROFILE])
def test_a_profile_that_was_changed_is_refused(make, packed, own: Fetcher, name: str) -> None:
    path, _ = packed(make.baseline())
    (path / name).write_text((path / name).read_text().replace("300", "299"))
    with pytest.raises(PackageError, match="was packed as"):
        baseline_of(str(path), own)
