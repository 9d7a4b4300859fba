"""The door to a run: what a dialect asks for while it drives one. ``services.start`` opens it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from headrace._base.logs import Log
from headrace._base.texts import ERROR_LINE, shorten
from headrace.engine.loop import Loop
from headrace.engine.ports import Executor
from headrace.model.attempts import LOG_LIMIT, AttemptEvent, LogRules
from headrace.model.calls import StepInfo, TaskHandle
from headrace.model.environments import Environment
from headrace.model.errors import HeadraceError, UsageError
from headrace.model.messages import Define, Output
from headrace.model.policy import StepPolicy
from headrace.model.records import (
    FLOW_TASK,
    ArtifactRecord,
    CodeRecord,
    Input,
    Lease,
    Param,
    RunDetails,
    RunRecord,
    Tag,
    TaskId,
    Wait,
)
from headrace.model.states import AttemptState, RunState, TaskState
from headrace.model.workers import ClusterAddress, ServedRun
from headrace.services import provenance
from headrace.services.code.collect import CodeRules
from headrace.services.code.package import CodeOfRun
from headrace.services.codeparts import CodeBook
from headrace.services.failures import exception_of
from headrace.services.interrupts import Interruptible
from headrace.services.log_segments import LogSegments
from headrace.services.places import Places, check_fits, check_travels
from headrace.services.step_environments import Given, StepEnvironments
from headrace.services.stores import Stores
from headrace.services.surroundings import Surroundings
from headrace.stores import codecs
from headrace.stores.metadata.protocol import RunChange, Write

if TYPE_CHECKING:
    from headrace.services.gitdiff import GitDiff

_log = Log("runs")

#: How a run ends that was to run only some tasks of an earlier run.
_ONLY_SOME = "the run was to run only some tasks, and they are over"
#: Definitions of steps that are kept to make lost outputs again.
_VERSIONS = 1_000


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """How an earlier run is to go on. ``again``: steps whose tasks, and all that depend on them, run again."""

    run: RunRecord
    again: tuple[str, ...] = ()
    reuse_changed: bool = False


class Reproduces(msgspec.Struct, frozen=True, kw_only=True):
    """What a run runs again: all tasks of an earlier run, or those in ``tasks`` with everything before them taken over.

    ``part`` is that step or task as people write it, ``fit`` or ``fit/3``; empty for the whole run.
    """

    run: RunRecord
    part: str = ""
    tasks: frozenset[TaskId] = frozenset()

    @property
    def name(self) -> str:
        """``train/42``, ``train/42/fit`` or ``train/42/fit/3``."""
        return f"{self.run.name}/{self.part}" if self.part else self.run.name


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """What a frontend knows when it opens a run."""

    flow: str
    entry: str
    dialect: str = "native"
    inputs: tuple[Input, ...] = ()
    params: tuple[tuple[str, str], ...] = ()  # name and text, for showing
    tags: tuple[tuple[str, str], ...] = ()
    max_parallel: int = 0
    log_limit: int = LOG_LIMIT  # bytes of each stream that are kept of what an attempt prints
    cleanup: float = 0.0  # seconds that a run which is stopped has for steps that clean up
    store_wait: float = 0.0  # seconds that the start waits for stores that are away
    use_cache: bool = True
    keep_going: bool = False
    stops_at_failure: bool = False  # once a task has failed for good, no other one begins
    seed: int | None = None  # of random numbers; a run that is resumed keeps its own
    environment: Environment | None = None  # of steps that name none
    given_environment: str = ""  # its name, where the command line gave it
    files: tuple[tuple[str, str], ...] = ()  # of the code package: a place from the entry's folder, the file's own path
    secrets: tuple[str, ...] = ()  # names of those that steps ask for
    titles: dict[str, str] = {}  # of steps that people know by another name, by step
    code: CodeRules = CodeRules()
    reproduces: Reproduces | None = None  # an earlier run that this one runs again

    @property
    def file(self) -> str:
        """The file of the flow; ``""`` in a notebook or at a prompt."""
        return self.entry.rpartition(":")[0]


class Session:
    """A run that this process drives. Dialects, commands and the client reach a live run through this class alone.

    Its arguments and results are calls of steps, handles of tasks, records and values. The methods that every call
    passes through are the engine's own, handed out here, so that they cost nothing on the way.
    """

    def __init__(
        self, stores: Stores, places: Places, run: RunRecord, lease: Lease, loop: Loop, new: NewSession
    ) -> None:
        self.stores = stores
        self.run = run
        self.keep_going = new.keep_going
        self.seed = loop.state.options.seed
        #: The most tasks at once, 0: as many as there is room for.
        self.max_parallel = loop.state.options.max_parallel
        self.reuse_changed = loop.state.options.reuse_changed
        self.environment = provenance.environment_digest()

        # Make tasks of calls; wait for their end, or be called at their end; stop them, or stop what is not needed.
        self.submit = loop.submit
        self.call = loop.call
        self.wait = loop.wait
        self.wait_idle = loop.wait_idle
        self.notify = loop.notify
        self.abandon = loop.abandon
        self.cancel = loop.cancel
        #: Run a finished task again because its outputs cannot be read; ask whether a call would reuse a result.
        self.recall = loop.recall
        self.was_finished = loop.was_finished

        # Stop the run; raise if the run is being stopped; from now on, let no interrupt break into the end of the run.
        self.stop = loop.stop
        self.check_stopped = loop.check_stopped
        self.ending = loop.ending
        #: The n-th answer to a question; wait for a signal to the run, such as an answer.
        self.answer = loop.inbox.answer
        self.wait_for_signal = loop.inbox.wait

        # Write records now, or with the next commit; functions here are asked for records before commits.
        self.write = loop.write
        self.write_soon = loop.write_soon
        self.sources = loop.sources
        #: Numbers of tasks by step and state; values of the run's secrets by name, which workers get.
        self.counts = loop.snapshot
        self.secrets: Mapping[str, str] = loop.workers.secrets

        self.codes = CodeBook(run.id, stores.artifacts)
        self._segments = LogSegments(run.id, stores.metadata, stores.artifacts, loop.write_soon)
        self._attach(loop)
        self.finished = False
        #: Whether the last rows of the run are being written.
        self.finishing = False
        self._loop = loop
        self._places = places
        folder = os.path.dirname(new.file) or os.getcwd()  # noqa: PTH109, PTH120
        origin = new.reproduces.run if new.reproduces is not None else None
        given = Given(new.environment, origin, folder, new.use_cache)
        self._environments = StepEnvironments(places, stores, run, given)
        self._log_limit = new.log_limit
        self._opening = threading.Lock()
        self._lease = lease
        self._step_ids = 0
        self._surroundings: Surroundings | None = None
        self._began = time.time()

    def _attach(self, loop: Loop) -> None:
        """Let the engine ask for the parts of code, and tell of output."""
        loop.state.code_with = self.codes.code_with
        loop.sources.append(self.codes.take_writes)
        loop.on_output = self._segments.note

    # --- what a dialect sees ------------------------------------------------------------------------------------

    @property
    def failure(self) -> BaseException | None:
        """The error because of which the run cannot go on, such as a lost lease; None if there is none."""
        return self._loop.failure

    @property
    def cancelled_by(self) -> str:
        """Who cancelled the run; empty if it was not cancelled."""
        return self._loop.cancel_requested

    @property
    def stopping(self) -> bool:
        """Whether the run was told to stop, and its flow has time to clean up."""
        return self._loop.stopping.active

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt was raised in the flow."""
        return self._loop.stopping.raised > 0

    @property
    def left_out(self) -> int:
        """How many calls were cancelled because the run was to run only some tasks."""
        return self._loop.state.refused

    @property
    def changed_steps(self) -> list[str]:
        """Names of the steps whose code has changed since an earlier session of the run."""
        return sorted(self._loop.state.changed.copy())

    @property
    def reused(self) -> int:
        """How many tasks took a result from the cache or another run."""
        return self._loop.state.reused

    @property
    def last_line(self) -> tuple[str, str]:
        """The newest line of output of any task: name of the task, and text."""
        return self._loop.workers.last_line

    def exception(self, task: TaskHandle) -> BaseException:
        """What waiting for a failed task raises."""
        return exception_of(task, self.run.name, self.stores.artifacts)

    def unseen(self) -> TaskHandle | None:
        """The first task that failed by itself, not because of another, and whose failure the flow has not seen."""
        return self._loop.failed[0] if self._loop.failed else None

    def seen(self, task: TaskHandle) -> None:
        """Note that the flow has seen the failure of ``task`` and its cause, so that ``unseen`` leaves them out."""
        problem = task.problem
        roots = (problem, problem.upstream if problem is not None else None)
        self._loop.failed = [one for one in self._loop.failed if not any(one.problem is root for root in roots)]

    def share_secrets(self, values: Mapping[str, str]) -> None:
        """Send secrets to every worker before its next attempt.

        Raises:
            UsageError: two secrets of the run have one name and different values.
        """
        known = self._loop.workers.secrets
        for name, value in values.items():
            if known.setdefault(name, value) != value:
                raise UsageError(f"two secrets with different values are called {name!r}; give one another name")

    def observe(self, told: Callable[[AttemptEvent], None], rules: LogRules) -> None:
        """Call ``told`` with everything that attempts do, and keep their logs as ``rules`` say.

        ``told`` is called under the engine's lock: it must be quick and must not call the session.
        """
        self._loop.workers.watch = told
        self._loop.workers.log_rules = msgspec.structs.replace(rules, limit=self._log_limit)

    def interruptible(self) -> Interruptible:
        """A context in which Ctrl-C, SIGTERM and SIGHUP stop the run cleanly, in the main thread alone."""
        return Interruptible(self._loop)

    @contextlib.contextmanager
    def stopped_by(self, callback: Callable[[Callable[[], None]], None]) -> Iterator[None]:
        """A context in which ``callback`` is called, from any thread, when the run is cancelled.

        For flows in threads that no signal reaches; inside ``interruptible`` it does nothing. ``callback`` is given a
        function, which it must call when it has told the flow.
        """
        loop = self._loop
        if loop.on_cancel is not None:
            yield
            return
        loop.on_cancel = lambda: callback(self._note_told)
        try:
            yield
        finally:
            loop.on_cancel = None

    def _note_told(self) -> None:
        self._loop.stopping.told = True

    # --- places -------------------------------------------------------------------------------------------------

    def place(self, name: str) -> Executor:
        """The executor of a place (empty: the default one), which is started when it is first asked for.

        Raises:
            UsageError: there is no such place.
        """
        opened = self._loop.workers.places
        name = name or self._places.default
        if name not in opened:
            with self._opening:
                if name not in opened:
                    executor = self._places.open(name)
                    executor.start()
                    address = executor.introduce(self._served(name))
                    self._loop.open_place(executor)
                    if address and self._surroundings is not None:
                        self._surroundings.listens(name, address)
        return opened[name]

    def _served(self, place: str) -> ServedRun:
        run = self.run
        unfinished = [one.unfinished for one in self._loop.state.recorded.values() if one.unfinished is not None]
        tokens = tuple([one.attempt.token for one in unfinished if one.attempt.place == place])
        return ServedRun(
            name=run.name,
            key=f"{run.id}@{run.created!r}",
            session=run.session,
            code=self._code,
            artifacts=self.stores.artifacts.url,
            adopted=tokens,
            database=self.stores.metadata.url.replace(":***@", "@"),
            project=run.project,
            log_limit=self._log_limit,
        )

    # --- steps --------------------------------------------------------------------------------------------------

    def step(
        self,
        name: str,
        policy: StepPolicy,
        code: bytes,
        define: Callable[[int], Define],
        defaults: dict[str, bytes] | None = None,
        counter: str = "",
        *,
        in_image: bool = False,
    ) -> StepInfo:
        """Make a step known to the run. ``defaults`` and ``counter`` as in ``StepInfo``.

        ``in_image``: the step starts programs in its image by itself, so that this needs no Python for a worker.

        Raises:
            ResourceError: it asks for more than its place has; UsageError: there is no such place.
        """
        check_fits(name, policy.resources, self.place(policy.place))
        self._step_ids += 1
        made = define(self._step_ids)
        policy = self._locked(name, policy, command=in_image or bool(made.command))
        if policy.image and made.command:
            made = self._environments.images(policy.place).contained(made, policy)
        check_travels(name, made, policy)
        environment = self._runs_in(made, policy)
        info = StepInfo(self._step_ids, name, policy, made, code, environment, counter=counter, defaults=defaults or {})
        known = self._loop.steps.get(name)
        if known is not None:  # the same function under two objects: its limits hold for both together
            info.load = known.load
        self._loop.steps[name] = info
        versions = self._loop.versions
        versions[(name, code)] = info
        if len(versions) > _VERSIONS:
            del versions[next(iter(versions))]
        return info

    def _locked(self, step: str, policy: StepPolicy, *, command: bool) -> StepPolicy:
        """``policy`` with the lock of its environment or image, which is recorded."""
        policy, record = self._environments.locked(step, policy, command=command)
        if record is not None:
            self._loop.write_soon(record)
        return policy

    def _runs_in(self, define: Define, policy: StepPolicy) -> bytes:
        """The digest of what a step runs in."""
        if policy.lock is not None:
            return policy.lock.digest
        if not define.command:
            return self.environment
        from headrace.services.command_environment import command_environment

        return command_environment(define.command)

    @property
    def cluster(self) -> ClusterAddress | None:
        """Where steps that name no place have pods, which ``StepPolicy.pod`` describes; None: they have none."""
        return self.clusters.get(self.default_place)

    @property
    def clusters(self) -> Mapping[str, ClusterAddress]:
        """The places whose workers are pods."""
        return self._places.clusters

    @property
    def default_place(self) -> str:
        """Where steps run that name no place."""
        return self._places.default

    def begins_as_copy(self, policy: StepPolicy) -> bool:
        """Whether workers for steps with this policy begin as copies of this process; else they import the flow."""
        return not self._environments.are_asked_for(policy) and self.place(policy.place).forked

    def variant(self, step: StepInfo, policy: StepPolicy, code: bytes) -> StepInfo:
        """``step`` for calls with another policy: limits and measured times are shared.

        Workers are told of it again only where ``policy`` changes what they do.

        Raises:
            ResourceError: it asks for more than its place has; UsageError: there is no such place.
        """
        check_fits(step.name, policy.resources, self.place(policy.place))
        policy = self._locked(step.name, policy, command=bool(step.define.command))
        check_travels(step.name, step.define, policy)
        environment = self._runs_in(step.define, policy)
        define, threads = step.define, max(1, int(policy.resources.cpu))
        if define.command and (policy.image or step.policy.image):
            define = self._environments.images(policy.place).contained(define, policy)
        if (define.env, define.threads, define.secrets, define.command) != (
            policy.env,
            threads,
            policy.secrets,
            step.define.command,
        ):
            self._step_ids += 1
            define = msgspec.structs.replace(
                define, step=self._step_ids, env=policy.env, threads=threads, secrets=policy.secrets
            )
        return msgspec.structs.replace(
            step, id=define.step, policy=policy, define=define, code=code, environment=environment
        )

    def record_start(self, new: NewSession, code: CodeOfRun, kept: CodeRecord, diff: GitDiff | None) -> None:
        """Write down parameters and surroundings; what takes long, as ``diff`` may, is done beside the run."""
        run_id = self.run.id
        origin = new.reproduces
        # Recorded code comes from the project and the commit where the run began.
        details = recorded_details(origin.run if origin else self.run) if code.installed else RunDetails()
        self._code = kept.package
        default = self._places.default
        address = self.place("").introduce(self._served(default))
        details = msgspec.structs.replace(
            details,
            seed=self.seed,
            code=kept,
            sources={},
            left_out=details.left_out if origin else code.left_out,
            reproduces=origin.name if origin else "",
            place=default,
            environment=new.given_environment,
            secrets=new.secrets,
            titles=new.titles,
            addresses={default: address} if address else {},
        )
        writes: list[Write] = [RunChange(run_id=run_id, details=_encode(details))]  # before the first task
        if origin is not None:
            commit, dirty = origin.run.git_commit, origin.run.git_dirty
            writes.append(RunChange(run_id=run_id, git_commit=commit, git_dirty=dirty))
            writes += [msgspec.structs.replace(one, run_id=run_id) for one in self._answered(origin.run)]
        writes += [Param(run_id, name, text) for name, text in new.params]
        writes += [Tag(run_id, name, value) for name, value in new.tags]
        self._loop.write(*writes)
        file = None if code.installed else new.file
        record = self._loop.write_soon
        self._surroundings = Surroundings(run_id, self.stores.artifacts, file, details, record, diff)
        self._surroundings.start()

    def _answered(self, run: RunRecord) -> list[Wait]:
        """Waits of ``run`` that are over: a run that reproduces it gets the same answers, and pauses no more."""
        return [one for one in self.stores.metadata.waits(run.id) if one.done]

    def finish(
        self,
        state: RunState,
        *,
        result: tuple[Any, ...] = (),
        error: str = "",
        traceback: str = "",
        failed_task: str = "",
    ) -> RunRecord:
        """Write the last word and let go of everything. ``result`` holds the flow's return value, or nothing.

        Raises:
            NotStorableError: the result cannot be stored; the run is then recorded as failed.
        """
        self.finishing = True
        self._loop.ending()
        if state is RunState.FAILED and self.left_out:
            state, error, traceback, failed_task = RunState.INTERRUPTED, _ONLY_SOME, "", ""
        problem: Exception | None = None
        writes: list[Write] = []
        if result:
            try:
                writes.append(self._result(result[0]))
            except Exception as failure:
                problem = failure
                state, error = RunState.FAILED, f"the flow's result: {failure}"
        if self._surroundings is not None:
            self._surroundings.finish(time.time() - self._began)
        with contextlib.suppress(HeadraceError):  # the last write, below, finds the same
            self._loop.flush_output()
            self._segments.finish()
        if state is RunState.SUCCEEDED:
            writes += self._stale()
        writes += self._unclaimed()
        writes.append(
            RunChange(
                run_id=self.run.id,
                state=state,
                finished=time.time(),
                error=shorten(error, ERROR_LINE),
                traceback=traceback,
                failed_task=failed_task,
            )
        )
        try:
            if self._loop.failure is None:
                self._loop.write(*writes, *self._loop.end_queue())
        finally:
            self.close()
        seconds = time.time() - self._began
        _log.info("run.ended", str(state), run=self.run.name, session=self.run.session, seconds=seconds)
        if problem is not None:
            raise problem
        return self.stores.metadata.run_by_id(self.run.id) or self.run

    def give_up(self, error: BaseException) -> RunState:
        """Stop all tasks of a run that cannot go on, and end it with what was wrong; returns the state it ended in."""
        self.ending()
        if self.failure is None:
            self.cancel()
        self.wait_idle()
        state = RunState.INTERRUPTED if isinstance(error, KeyboardInterrupt) else RunState.FAILED
        if self.cancelled_by:
            state = RunState.CANCELLED
        self.finish(state, error=f"{type(error).__name__}: {error}")
        return state

    def _result(self, value: Any) -> ArtifactRecord:
        packed = codecs.pack(value, self.stores.artifacts)
        made = Output("result", packed, codecs.preview(value, packed))
        return made.recorded(self.run.id, FLOW_TASK, time.time())

    def _stale(self) -> list[Write]:
        """Tasks of earlier sessions that this one did not come across: they are no part of the result."""
        return [
            msgspec.structs.replace(left.record, state=TaskState.STALE)
            for left in self._loop.state.recorded.values()
            if left.record.state is not TaskState.STALE and not left.origin
        ]

    def _unclaimed(self) -> list[Write]:
        """Attempts of earlier sessions that the flow did not call again: what came of them is not known."""
        error = "the process that drove the run was gone before it ended"
        return [
            msgspec.structs.replace(left.unfinished.attempt, state=AttemptState.LOST, finished=time.time(), error=error)
            for left in self._loop.state.recorded.values()
            if left.unfinished is not None
        ]

    def close(self) -> None:
        """End the workers and give the lease up."""
        if self.finished:
            return
        self.finished = True
        try:
            self._environments.close()
            self._loop.close()
        finally:
            self.stores.metadata.release(self._lease)


def recorded_details(run: RunRecord) -> RunDetails:
    """What is recorded of a run's surroundings; empty for one that has just begun."""
    if not run.details:  # it has just begun
        return RunDetails()
    from headrace.services.describe import details_of

    return details_of(run)


def _encode(details: RunDetails) -> bytes:
    return msgspec.msgpack.encode(details)
