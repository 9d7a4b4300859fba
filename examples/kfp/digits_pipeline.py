"""A Kubeflow pipeline: load scanned digits, train forests of several sizes, evaluate them, publish the best if it is good.

    headrace run examples/kfp/digits_pipeline.py:digits --goal 0.95     # compiled by your own kfp
    headrace run examples/kfp/digits_pipeline.yaml --goal 0.95          # compiled ahead; needs no kfp
    PYTHONPATH="$(headrace dialect kfp)" python examples/kfp/digits_pipeline.py       # the script below, by kfp.local

With `headrace server`, kfp.Client(host="http://127.0.0.1:8700").create_run_from_pipeline_func(digits) runs it, too.
Then look at it: `headrace show digits`, `headrace artifacts digits`. Set a goal of 1.0, and the branch `publish` is skipped.
"""

from typing import List

from kfp import dsl


@dsl.component(packages_to_install=["scikit-learn"])
def load(train: dsl.Output[dsl.Dataset], test: dsl.Output[dsl.Dataset], part: float = 0.3):
    import json

    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    for artifact, rows in zip((train, test), range(2)):
        images = train_test_split(digits.data, test_size=part, random_state=1)[rows]
        labels = train_test_split(digits.target, test_size=part, random_state=1)[rows]
        artifact.metadata["rows"] = len(labels)
        with open(artifact.path, "w") as file:
            json.dump({"images": images.tolist(), "labels": labels.tolist()}, file)


@dsl.component(packages_to_install=["scikit-learn"])
def fit(data: dsl.Input[dsl.Dataset], trees: int, model: dsl.Output[dsl.Model]):
    import json
    import pickle

    from sklearn.ensemble import RandomForestClassifier

    with open(data.path) as file:
        rows = json.load(file)
    forest = RandomForestClassifier(trees, random_state=1).fit(rows["images"], rows["labels"])
    model.framework = "scikit-learn"
    model.metadata["trees"] = trees
    with open(model.path, "wb") as file:
        pickle.dump(forest, file)


@dsl.component(packages_to_install=["scikit-learn"])
def evaluate(data: dsl.Input[dsl.Dataset], model: dsl.Input[dsl.Model], metrics: dsl.Output[dsl.Metrics]) -> float:
    import json
    import pickle

    with open(data.path) as file:
        rows = json.load(file)
    with open(model.path, "rb") as file:
        score = float(pickle.load(file).score(rows["images"], rows["labels"]))
    metrics.log_metric("accuracy", score)
    print(f"{model.metadata['trees']} trees: {score:.3f}")
    return score


@dsl.component
def best(scores: List[float]) -> float:
    return max(scores)


@dsl.component
def publish(score: float) -> str:
    print(f"published at {score:.3f}")
    return "published"


@dsl.component
def keep(score: float) -> str:
    print(f"not good enough: {score:.3f}")
    return "kept"


@dsl.component
def report(status: dsl.PipelineTaskFinalStatus):
    print(f"{status.pipeline_task_name} {status.state}")


@dsl.pipeline(name="digits", description="Train forests on scanned digits, and publish the best if it is good.")
def digits(goal: float = 0.9):
    with dsl.ExitHandler(report()):
        data = load()
        with dsl.ParallelFor([2, 8, 32]) as trees:
            model = fit(data=data.outputs["train"], trees=trees)
            score = evaluate(data=data.outputs["test"], model=model.outputs["model"])
        top = best(scores=dsl.Collected(score.outputs["Output"]))
        with dsl.If(top.output >= goal):
            publish(score=top.output)
        with dsl.Else():
            keep(score=top.output)


if __name__ == "__main__":
    import sys

    from kfp import local

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[1] if sys.argv[1:] else "local_outputs")
    digits(goal=0.9)
