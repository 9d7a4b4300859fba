"""Running a native run again as it is recorded: its code, parameters and seed, as a run of its own."""

from __future__ import annotations

import msgspec

from headrace.frontends.native.launch import Ended, Launch, run_flow
from headrace.frontends.native.parameters import bind_values, parameter_specs
from headrace.frontends.native.resume import parameters_of, recorded_flow_of
from headrace.services.describe import details_of
from headrace.services.session import Reproduces


def reproduce_run(origin: Reproduces, how: Launch) -> Ended:
    """Run what ``origin`` says again, from the code that its run kept. The cache answers nothing.

    Raises:
        FlowLoadError: the run kept no code, or it cannot be imported here.
        BlobError: the code or a parameter is gone or damaged.
    """
    record = origin.run
    flow = recorded_flow_of(record, how.scope)
    specs = parameter_specs(flow.__wrapped__)
    known = {spec.name for spec in specs}
    given = {name: value for name, value in parameters_of(record, how.scope.artifacts).items() if name in known}
    values = {**given, **bind_values(specs, given)}
    seed = details_of(record).seed
    how = msgspec.structs.replace(how, seed=seed, use_cache=False, reproduces=origin)
    return run_flow(flow, values, how, reraise=False)
