"""``subflow``: a Metaflow flow as a part of a native run. Its steps are tasks of that run, with all that tasks have."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from headrace.frontends.metaflow.authoring.configs import unwrap
from headrace.frontends.metaflow.authoring.flowspec import check_needs_no_arguments
from headrace.frontends.metaflow.authoring.graph import graph_of, lint
from headrace.frontends.metaflow.authoring.prepare import prepare
from headrace.frontends.metaflow.exceptions import MetaflowException
from headrace.frontends.metaflow.flow import FlowSpec
from headrace.frontends.metaflow.identity import user_name
from headrace.frontends.metaflow.programs.flow_loader import load_flow
from headrace.frontends.metaflow.running.console import Console
from headrace.frontends.metaflow.running.launch import RunOptions, default_values, pack_base, run_facts
from headrace.frontends.metaflow.running.plan import Ground, StepPlan, make_plans, slot_of
from headrace.frontends.metaflow.running.runtime import Runtime, Where
from headrace.model.errors import ParameterError, UsageError
from headrace.services.current import Calls, running
from headrace.services.session import Session
from headrace.stores import codecs

#: How many tasks of it may run at once where nothing else says: as with ``--max-workers``.
_WORKERS = 16


class Artifacts:
    """What a sub-flow ended with: the artifacts of its last step as attributes, loaded when looked at."""

    def __init__(self, run: Calls, table: dict[str, Where]) -> None:
        self._run = run
        self._table = table

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._table:
            raise AttributeError(f"the flow ended without an artifact {name!r}; it has {', '.join(self)}")
        where = self._table[name]
        if isinstance(where, tuple):
            value = self._run.read(*where)
        else:
            value = codecs.unpack(where, self._run.session.stores.artifacts)
        self.__dict__[name] = value
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        """Their names."""
        return iter(sorted(name for name in self._table if not name.startswith("_")))

    def __repr__(self) -> str:
        return f"<artifacts: {', '.join(self)}>"


class Subflow:
    """A Metaflow flow to be called within a native one. Parameters go by name, those left out take their defaults."""

    def __init__(self, cls: type[FlowSpec], configs: Mapping[str, Any], max_num_splits: int, cache: bool) -> None:
        flow: Any = cls
        files = {name: value for name, value in configs.items() if isinstance(value, (str, os.PathLike))}
        texts = {name: unwrap(value) for name, value in configs.items() if name not in files}
        prepare(flow, {name: os.fspath(one) for name, one in files.items()}, texts, user_name())
        check_needs_no_arguments(flow)
        lint(graph_of(flow))
        slot_of(flow)  # before workers are forked
        self.name: str = cls.__name__
        self.flow = flow
        self._max_num_splits = max_num_splits
        self._cache = cache
        self._plans: WeakKeyDictionary[Session, dict[str, StepPlan]] = WeakKeyDictionary()

    def __call__(self, **parameters: Any) -> Artifacts:
        """Run it as a part of the run around it, and wait for its end.

        Returns:
            The artifacts of its last step.

        Raises:
            UsageError: it is called outside of a run.
            ParameterError: it has no such parameter, or the value is of the wrong type.
            Exception: what a step of it raised.
        """
        run = running()
        if run is None:
            raise UsageError(
                f"sub-flow {self.name} was called outside of a run: call it in a function under @flow, or run its file "
                "by itself with `headrace run`"
            )
        session = run.session
        base = pack_base(self.flow, self._values(parameters), session.stores)
        console = Console(session.run.name, silent=True)
        plans = self._plans_in(session, tuple(base))
        runtime = Runtime(session, graph_of(self.flow), plans, base, console, self._max_num_splits)
        try:
            runtime.run()
        except BaseException:
            runtime.tasks.cancel()
            raise
        for task in runtime.failed:
            session.seen(task)
        if runtime.failed:
            raise session.exception(runtime.failed[0])
        assert runtime.last is not None
        return Artifacts(run, runtime.artifacts_of(runtime.last))

    def _values(self, given: dict[str, Any]) -> dict[str, Any]:
        """The value of every parameter, by attribute."""
        known = {one.name.replace("-", "_"): one for one in self.flow._parameters().values()}
        values = {}
        for name, value in given.items():
            if name not in known:
                there = ", ".join(known) or "none"
                raise ParameterError(f"sub-flow {self.name} has no parameter {name!r}; it has {there}")
            try:
                values[known[name].name] = known[name].convert(value)
            except (ValueError, MetaflowException) as error:
                raise ParameterError(f"parameter {name!r} of sub-flow {self.name}: {error}") from None
        return default_values(self.flow, values)

    def _plans_in(self, session: Session, constants: tuple[str, ...]) -> dict[str, StepPlan]:
        plans = self._plans.get(session)
        if plans is None:
            ground = Ground(
                session.place("").capacity.largest,
                session.max_parallel or _WORKERS,
                self._cache,
                f"{self.name}.",
                place=session.default_place,
                clusters=session.clusters,
            )
            facts = run_facts(self.flow, RunOptions(), ())
            plans = self._plans[session] = make_plans(self.flow, constants, facts, (), ground)
        return plans

    def __repr__(self) -> str:
        return f"<sub-flow {self.name}>"


def subflow(
    flow: type[FlowSpec] | str | os.PathLike[str],
    *,
    configs: Mapping[str, Any] | None = None,
    max_num_splits: int = 100,
    cache: bool = False,
) -> Subflow:
    """Make a Metaflow flow callable in native flows: ``train = subflow("train.py")``, at the top of a file.

    Its steps become tasks of the run that calls it, named ``TrainFlow.start`` and so on: they are resumed with it,
    bounded by its ``max_parallel``, listed by `headrace show`.

    Args:
        flow: the class, or the file it is in (beside the calling file, unless the path is absolute), with
            ``:ClassName`` when the file holds several.
        configs: values of its ``Config`` objects by name, or files to read them from.
        max_num_splits: as the option of that name.
        cache: take what its steps made of the same inputs before, also in other runs.

    Raises:
        FileNotFoundError: there is no such file.
        MetaflowException: the file has no flow or several, or the flow is not valid.
        UsageError: it is a class of something else, such as the metaflow package itself.
    """
    if isinstance(flow, (str, os.PathLike)):
        folder = os.path.dirname(sys._getframe(1).f_code.co_filename)  # noqa: PTH120
        flow = load_flow(os.path.join(folder, os.fspath(flow)), lasting=True)  # noqa: PTH118
    if not (isinstance(flow, type) and issubclass(flow, FlowSpec)):
        raise UsageError(
            f"{flow!r} is not a FlowSpec of Headrace: name the file it is in, or import from headrace.metaflow there"
        )
    return Subflow(flow, configs or {}, max_num_splits, cache)


__all__ = ["Artifacts", "Subflow", "subflow"]
