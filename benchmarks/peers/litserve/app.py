"""The model behind LitServe, one worker, which checks nothing of the rows it receives. Usage: python app.py PORT."""

# Not `from __future__ import annotations`: LitServe hands the annotations to FastAPI, which cannot resolve strings.
import os
import sys
from typing import Any

import joblib
import litserve
import pandas as pd


class Bench(litserve.LitAPI):
    """Predicts from rows of named columns."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the model in the worker."""
        self.model = joblib.load(os.environ["BENCH_MODEL"])

    def decode_request(self, request: dict[str, Any]) -> pd.DataFrame:
        """Rows → frame."""
        return pd.DataFrame(request["rows"])

    def predict(self, frame: pd.DataFrame) -> Any:
        """One prediction for each row."""
        return self.model.predict(frame)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Predictions → answer."""
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Bench(api_path="/predict"), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
