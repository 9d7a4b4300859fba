"""As many runs as ``fill.py`` makes, in MLflow's store; run by the interpreter that has mlflow."""

from __future__ import annotations

import random
import sys

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient


def main() -> None:
    """``fill_mlflow.py STORE RUNS``."""
    client = MlflowClient(sys.argv[1])
    chance = random.Random(1)
    for number in range(int(sys.argv[2])):
        run = client.create_run("0")
        metrics = [
            Metric(name, chance.random(), 1_750_000_000_000 + step, step)
            for name in ("loss", "accuracy")
            for step in range(20)
        ]
        params = [
            Param("depth", str(number % 10)),
            Param("rate", f"{chance.random():.4f}"),
            Param("name", f"model-{number % 7}"),
        ]
        client.log_batch(run.info.run_id, metrics, params, [RunTag("team", f"t{number % 5}")])
        client.set_terminated(run.info.run_id)


if __name__ == "__main__":
    main()
