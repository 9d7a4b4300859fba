"""``headrace run --code-of RUN``: a new run of a flow that an earlier run kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headrace.cli.flowargs import Options, split
from headrace.cli.options import open_existing
from headrace.model.errors import UsageError


def run_recorded(name: str, words: Sequence[str], options: Options, ours: Collection[str]) -> int:
    """Run the flow of the run ``name`` anew, with the parameters in ``words`` changed; returns the exit code.

    It runs in the place of that run, where the settings here know it.

    Raises:
        FlowLoadError, BlobError: the run kept no code, or it is gone.
    """
    from headrace.cli.summary import drive
    from headrace.services.names import find_run
    from headrace.services.session import recorded_details

    scope = open_existing()
    run = find_run(scope.opened_stores().metadata, scope.project, name)
    place = recorded_details(run).place
    if not options.on and any(one.name == place for one in scope.settings.places):
        options.on = place
    words = words[1:] if words[:1] == ("--",) else words
    if run.dialect == "metaflow":
        from headrace.cli.metaflowfile import parameters_of_ours, recorded_file, run_file

        file = recorded_file(scope, run)
        return run_file(file, ["run"], options, split(words, {*ours} - {"help"}, parameters_of_ours(file), options))
    if run.dialect == "kfp":
        from headrace.cli.kfpfile import rerun_file

        return rerun_file(scope, run, words, options, ours)
    if run.dialect != "native":
        raise UsageError(f"{run.name} was not started by Headrace, and has no flow that can be run again")
    from headrace.frontends.native.launch import run_flow
    from headrace.frontends.native.parameters import bind_values, parameter_specs, parse_arguments
    from headrace.frontends.native.resume import parameters_of, recorded_flow_of

    flow = recorded_flow_of(run, scope)
    specs = parameter_specs(flow.__wrapped__)
    known = {spec.name for spec in specs}
    before = {key: value for key, value in parameters_of(run, scope.artifacts).items() if key in known}
    changes = parse_arguments(specs, split(words, ours, list(known), options), complete=False)
    values = {**before, **bind_values(specs, {**before, **changes})}
    return drive(lambda: run_flow(flow, values, options.launch(scope), reraise=False), options)
