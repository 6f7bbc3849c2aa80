from __future__ import annotations

import json
import subprocess
import sys

import pytest

from modelimg_runtime import container

SCRIPT = """
import json, os, sys
from modelimg_runtime.serve import set_process_defaults
assert "numpy" not in sys.modules
set_process_defaults(int(sys.argv[1]))
import numpy, sklearn
from threadpoolctl import threadpool_info
print(json.dumps([dict(os.environ), {pool["user_api"]: pool["num_threads"] for pool in threadpool_info()}]))
"""


def threads_of(workers: int, **environ: str) -> tuple[dict[str, str], dict[str, int]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(workers)], env=environ, capture_output=True, text=True, check=True
    )
    found, pools = json.loads(done.stdout)
    return found, pools


@pytest.mark.parametrize("workers", [1, 2, 100])
def test_numeric_libraries_share_the_containers_cpus_among_the_workers(workers):
    share = max(container.cpus() // workers, 1)
    environ, pools = threads_of(workers)
    assert pools == {"blas": share, "openmp": share}
    assert environ["OMP_NUM_THREADS"] == environ["OPENBLAS_NUM_THREADS"] == environ["MKL_NUM_THREADS"] == str(share)
    assert environ["JOBLIB_MULTIPROCESSING"] == "0"


def test_what_the_user_set_stays():
    environ, pools = threads_of(4, OMP_NUM_THREADS="2", JOBLIB_MULTIPROCESSING="1")
    assert (environ["OMP_NUM_THREADS"], environ["JOBLIB_MULTIPROCESSING"], pools["openmp"]) == ("2", "1", 2)
