"""The exhaustive table: every question with what the path of frames and pandera says."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from lane_inputs import cell_questions, shape_questions, unique_questions
from lane_outputs import output_questions
from lanes import Question
from modelimg_runtime import accept


@pytest.fixture(scope="session")
def questions() -> Iterator[list[Question]]:
    asked = [*cell_questions(), *unique_questions(), *shape_questions(), *output_questions()]
    gc.freeze()  # a million objects that stay; each full collection would walk them
    yield asked
    gc.unfreeze()


@pytest.fixture(scope="session")
def package_folder() -> Path:
    return Path(accept.__file__).parent
