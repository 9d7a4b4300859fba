"""Not a flow: the public members that scripts use, and which of them are missing."""

import importlib

import metaflow.client.core as core
from metaflow import current
from metaflow.events import MetaflowEvent, Trigger

ALL = (
    "id pathspec path_components parent tags user_tags system_tags created_at origin_pathspec is_in_namespace "
    "_ipython_key_completions_ __iter__ __getitem__ __contains__"
)
MEMBERS = {
    "Metaflow": "flows __iter__ __getitem__ _ipython_key_completions_",
    "Flow": f"{ALL} latest_run latest_successful_run runs",
    "Run": f"{ALL} data successful finished finished_at code trigger end_task steps add_tag add_tags remove_tag "
    "remove_tags replace_tag replace_tags _graph_endpoints",
    "Step": f"{ALL} task tasks finished_at environment_info parent_steps child_steps control_task control_tasks",
    "Task": f"{ALL} data artifacts successful finished finished_at exception stdout stderr stdout_size stderr_size "
    "loglines metadata metadata_dict index current_attempt runtime_name code environment_info parent_tasks child_tasks "
    "parent_task_pathspecs child_task_pathspecs",
    "DataArtifact": f"{ALL} data sha size finished_at",
    "MetaflowData": "__contains__ __dir__",
    "MetaflowCode": "path info flowspec tarball script_name extract",
}
kept = {"id", "pathspec"}  # the real one sets some members in __init__
for name, members in MEMBERS.items():
    cls = getattr(core, name)
    print(name, [one for one in members.split() if not hasattr(cls, one) and one not in kept])
print(
    [
        one
        for one in "event events run runs from_runs __getitem__ __contains__ __iter__".split()
        if not hasattr(Trigger, one)
    ]
)
print(MetaflowEvent._fields)
for name in "flow_name run_id step_name task_id retry_count origin_run_id pathspec namespace username task run".split():
    print(name, getattr(current, name))
print(current.is_running_flow, current.tempdir, current.get("nothing", 5), "run_id" in current)
for name in ("graph", "nothing", "trigger", "project_name", "card"):
    try:
        print(name, getattr(current, name))
    except Exception as error:
        print(name, type(error).__name__)
for module, names in {
    "metaflow": "Metaflow Flow Run Step Task DataArtifact namespace get_namespace default_namespace metadata get_metadata "
    "default_metadata",
    "metaflow.client": "Metaflow Flow Run Step Task DataArtifact namespace get_namespace default_namespace metadata "
    "get_metadata default_metadata",
}.items():
    loaded = importlib.import_module(module)
    print(module, [one for one in names.split() if not hasattr(loaded, one)])
