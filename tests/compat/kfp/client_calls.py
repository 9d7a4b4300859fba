"""Run by the Python that has the real kfp: calls of ``kfp.Client``. ``python client_calls.py URL FOLDER``.

Prints one line of JSON for each call: its name, and what it said.
"""

import json
import sys
import time
import warnings
from typing import Any

warnings.simplefilter("ignore")

import kfp  # noqa: E402
from kfp import compiler, dsl  # noqa: E402


@dsl.component(install_kfp_package=False)
def work(n: int, path: str = "") -> int:
    import os
    import time

    while path and os.path.exists(path):
        time.sleep(0.05)
    if n < 0:
        raise ValueError("negative")
    return n + 1


@dsl.pipeline(name="counting", description="Counts.")
def counting(n: int = 1, path: str = "") -> int:
    return work(n=work(n=n).output, path=path).output


def said(name: str, value: Any) -> Any:
    print(json.dumps([name, value], default=str), flush=True)
    return value


def refused(name: str, call: Any, *args: Any, **kwargs: Any) -> None:
    try:
        call(*args, **kwargs)
        said(name, "no error")
    except Exception as error:
        said(name, getattr(error, "status", type(error).__name__))


def ended(client: Any, run: str, *states: str) -> Any:
    while (found := client.get_run(run)).state not in states:
        time.sleep(0.2)
    return found


def example(client: Any, folder: str) -> None:
    """The example pipeline, as its users run it."""
    sys.path.insert(0, folder)
    from digits_pipeline import digits

    made = client.create_run_from_pipeline_func(digits, arguments={"goal": 0.9}, run_name="digits")
    done = client.wait_for_run_completion(made.run_id, 90, sleep_duration=1)
    tasks = {one.display_name: one.state for one in done.run_details.task_details}
    said("example", [done.state, tasks["publish"], tasks["report"]])


def namespaces(client: Any, version: Any) -> None:
    """An experiment of another namespace: requests by id name none; a pipeline of the server's project runs there."""
    team = client.create_experiment("of a team", namespace="team").experiment_id
    made = client.run_pipeline(
        team, "theirs", pipeline_id=version.pipeline_id, version_id=version.pipeline_version_id
    ).run_id
    history = [one.state for one in client.wait_for_run_completion(made, 60, sleep_duration=1).state_history]
    said("run of a namespace", [client.get_experiment(team).namespace, history])
    filters = (("IN", "state", {"values": ["FAILED", "SUCCEEDED"]}), (6, "created_at", "2020-01-01T00:00:00+01:00"))
    found = []
    for operation, key, value in filters:
        predicate = {"operation": operation, "key": key, "values" if operation == "IN" else "timestamp_value": value}
        text = json.dumps({"predicates": [predicate]})
        found.append(client.list_runs(namespace="team", filter=text).total_size)
    said("list_runs of a namespace", [client.list_runs(experiment_id=team).total_size, *found])
    client.delete_run(made)
    refused("get_run of a namespace", client.get_run, made)


def main(url: str, folder: str, examples: str) -> None:
    package = f"{folder}/counting.yaml"
    compiler.Compiler().compile(counting, package)
    client = kfp.Client(host=url)
    said("healthz", client.get_kfp_healthz().multi_user)
    experiment = client.create_experiment("first", description="one")
    said("create_experiment again", client.create_experiment("first").experiment_id == experiment.experiment_id)
    said("get_experiment", client.get_experiment(experiment.experiment_id).display_name)
    said("get_experiment by name", client.get_experiment(experiment_name="first").description)
    refused("get_experiment of none", client.get_experiment, experiment_name="nobody")
    said("list_experiments", client.list_experiments().total_size)
    client.archive_experiment(experiment.experiment_id)
    said("archive_experiment", client.get_experiment(experiment.experiment_id).storage_state)
    client.unarchive_experiment(experiment.experiment_id)
    said("unarchive_experiment", client.get_experiment(experiment.experiment_id).storage_state)

    pipeline = client.upload_pipeline(package, "counting", description="uploaded")
    said("upload_pipeline", pipeline.display_name)
    refused("upload_pipeline again", client.upload_pipeline, package, "counting")
    said("get_pipeline_id", client.get_pipeline_id("counting") == pipeline.pipeline_id)
    said("get_pipeline", client.get_pipeline(pipeline.pipeline_id).description)
    version = client.upload_pipeline_version(package, "second", pipeline_id=pipeline.pipeline_id)
    said("upload_pipeline_version", version.display_name)
    client.upload_pipeline_version_from_pipeline_func(counting, "third", pipeline_name="counting")
    versions = client.list_pipeline_versions(pipeline.pipeline_id, sort_by="name asc").pipeline_versions
    said("list_pipeline_versions", [one.display_name for one in versions])
    found = client.get_pipeline_version(pipeline.pipeline_id, version.pipeline_version_id)
    said("get_pipeline_version", found.pipeline_spec["pipelineInfo"]["name"])
    client.upload_pipeline_from_pipeline_func(counting, "other")
    said("list_pipelines", [one.display_name for one in client.list_pipelines(sort_by="name asc").pipelines])
    page = client.list_pipelines(page_size=1)
    said("list_pipelines page", [len(page.pipelines), page.total_size, bool(page.next_page_token)])

    made = client.run_pipeline(
        experiment.experiment_id, "by version", pipeline_id=pipeline.pipeline_id, version_id=version.pipeline_version_id
    )
    said("run_pipeline", made.state)
    done = client.wait_for_run_completion(made.run_id, 60, sleep_duration=1)
    said("wait_for_run_completion", [done.state, sorted(one.display_name for one in done.run_details.task_details)])
    result = client.create_run_from_pipeline_package(
        package, arguments={"n": 5}, run_name="package", enable_caching=False
    )
    said("create_run_from_pipeline_package", result.wait_for_run_completion(60).state)
    failing = client.create_run_from_pipeline_func(counting, arguments={"n": -1}, experiment_name="first")
    failed = client.wait_for_run_completion(failing.run_id, 60, sleep_duration=1)
    said("failed run", [failed.state, "negative" in failed.error.message])
    said("list_runs", client.list_runs(experiment_id=experiment.experiment_id).total_size)
    filter_ = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": "package"}]})
    said("list_runs filter", [one.display_name for one in client.list_runs(filter=filter_).runs])

    namespaces(client, version)

    hold = f"{folder}/hold"
    open(hold, "w").close()
    held = client.create_run_from_pipeline_func(counting, arguments={"path": hold, "n": 50}, run_name="held")
    said("run is running", ended(client, held.run_id, "RUNNING").state)
    client.terminate_run(held.run_id)
    said("terminate_run", ended(client, held.run_id, "CANCELED", "FAILED", "SUCCEEDED").state)
    import os

    os.unlink(hold)
    client._run_api.run_service_retry_run(held.run_id)
    said("retry_run", ended(client, held.run_id, "SUCCEEDED", "FAILED").state)
    client.archive_run(held.run_id)
    said("archive_run", client.get_run(held.run_id).storage_state)
    client.unarchive_run(held.run_id)
    said("unarchive_run", client.get_run(held.run_id).storage_state)
    client.delete_run(held.run_id)
    refused("get_run of none", client.get_run, held.run_id)
    refused("unknown parameter", client.run_pipeline, experiment.experiment_id, "x", package, params={"m": 1})
    refused("wrong type", client.run_pipeline, experiment.experiment_id, "x", package, params={"n": "three"})

    refused(
        "recurring with a trigger",
        client.create_recurring_run,
        experiment.experiment_id,
        "r",
        interval_second=60,
        pipeline_package_path=package,
    )
    said("list_recurring_runs", client.list_recurring_runs().total_size)
    refused("delete_pipeline with versions", client.delete_pipeline, pipeline.pipeline_id)
    for one in client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions:
        client.delete_pipeline_version(pipeline.pipeline_id, one.pipeline_version_id)
    client.delete_pipeline(pipeline.pipeline_id)
    refused("get_pipeline of none", client.get_pipeline, pipeline.pipeline_id)
    example(client, examples)
    client.delete_experiment(experiment.experiment_id)
    refused("get_experiment of none by id", client.get_experiment, experiment.experiment_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
