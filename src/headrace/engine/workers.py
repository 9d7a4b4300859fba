"""The workers of a run as its driver holds them: who has which attempt, what they say, what they print.

Called by ``engine.loop`` under its lock. Knows links and log offsets; decides nothing.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from headrace._base.logs import Log
from headrace._base.output_redaction import SHORTEST
from headrace._base.redaction import redact
from headrace.engine.arguments import arguments_of, source_of
from headrace.engine.events import AttemptFailed, Event, Handback, Promote, Rejoin, Resized, Start, Succeeded
from headrace.engine.placement import Slot
from headrace.engine.ports import Executor, ProtocolError, WorkerExit
from headrace.engine.rows import pod_record, tracked
from headrace.engine.state import RunOptions
from headrace.engine.tasks import Gang, Task
from headrace.engine.worker_exits import RAISED_AS, cause_of
from headrace.engine.worker_state import HeldAttempt, HeldWorker, name_of
from headrace.identity.keys import task_seed
from headrace.model.attempts import AttemptEvent, AttemptFailure, AttemptPrinted, AttemptStarted, LogRules
from headrace.model.calls import StepInfo
from headrace.model.messages import (
    KNOWN_STEPS,
    Define,
    Done,
    Execute,
    Failed,
    GangNode,
    Imported,
    Ready,
    Secrets,
    Stop,
    ToDriver,
    ToWorker,
    Track,
)
from headrace.model.messages import Handback as HandbackMessage
from headrace.model.outcomes import Cancelled, Crashed, outcome
from headrace.model.records import TaskId
from headrace.model.workers import Capacity, GangSeat, WorkerSpec, on_machine
from headrace.runtime.secrets import names_for, of_steps
from headrace.stores.metadata.protocol import Write

_log = Log("workers")

_TAIL = 2000


class WorkerPool:
    """All workers of one run, in all its places."""

    def __init__(self, epoll: select.epoll, run_name: str, options: RunOptions) -> None:
        self._epoll = epoll
        self._place = options.place
        self._places: dict[str, Executor] = {}
        #: Executors by the descriptor that polls as readable when one has news, with the capacity they had last.
        self.news: dict[int, tuple[Executor, Capacity]] = {}
        self._run_name = run_name
        self._run_id = options.run_id
        self._seed = options.seed
        self._workers: dict[int, HeldWorker] = {}
        self._idle: dict[WorkerSpec, list[HeldWorker]] = {}
        self._at: dict[int, HeldWorker] = {}
        #: Whether this process is to end, and what has been sent to workers is to be known to the next driver.
        self.leaving = False
        #: Attempts of earlier sessions until their workers come back, and how much of their output is recorded.
        self._awaited: dict[int, tuple[HeldAttempt, tuple[int, int]]] = {}
        #: How often attempts of a task lost their workers by no fault of theirs.
        self._taken: dict[TaskId, int] = {}
        self._writes: list[Write] = []
        #: What ``take_lost_inputs`` returns.
        self.lost: list[tuple[TaskId, int, str]] = []
        self.last_line: tuple[str, str] = ("", "")
        #: Told, under the driver's lock, of every attempt that begins, of all that it prints, and of one that failed.
        self.watch: Callable[[AttemptEvent], None] | None = None
        self.log_rules = LogRules()
        #: Values of secrets by name. A worker gets those that its steps name, and all that were in arguments.
        self.secrets: dict[str, str] = {}

    @property
    def places(self) -> Mapping[str, Executor]:
        """The executors of the run by their places."""
        return self._places

    def open_place(self, executor: Executor) -> None:
        """Let attempts run in the place of an executor that was started."""
        self._places[executor.place] = executor
        fd = executor.fileno()
        self.news[fd] = executor, executor.capacity
        self._epoll.register(fd, select.EPOLLIN)

    def on_news(self, fd: int, slots: Mapping[int, Slot], now: float) -> list[Event]:
        """Take what an executor has to say: workers that ended, another capacity."""
        executor, capacity = self.news[fd]
        events: list[Event] = []
        for ended in executor.exits():
            events += self._on_exit(ended, slots, now)
        for token, (attempt, _) in list(self._awaited.items()):
            if (attempt.task.step.policy.place or self._place) == executor.place:
                events += self._claim(executor, token, now)
        if executor.capacity is not capacity:
            self.news[fd] = executor, executor.capacity
            events.append(Resized(executor.place, executor.capacity, now))
        return events

    def _hire(
        self, executor: Executor, spec: WorkerSpec, idle: list[HeldWorker], step: StepInfo, seat: GangSeat | None = None
    ) -> HeldWorker:
        if executor.capacity.workers:
            self._make_room(executor, spec.machine)
        once = spec.isolated or seat is not None
        worker = HeldWorker(executor.provide(spec, step.name, seat), executor, idle, once=once)
        worker.machine, worker.kind = spec.machine, step.kind
        self._workers[worker.fd] = worker
        self._epoll.register(worker.fd, select.EPOLLIN)
        _log.debug("worker.asked", "a worker is wanted", run=self._run_name, step=step.name, place=spec.place)
        return worker

    def retire_idle(self, clock: float) -> None:
        """Let workers go that have been idle for longer than their executors want."""
        for spec, idle in self._idle.items():
            if idle:
                for one in idle:
                    one.idle_since = one.idle_since or clock
                idle.sort(key=lambda one: one.idle_since)
                count = idle[0].executor.surplus(spec, [clock - one.idle_since for one in idle])
                for one in idle[:count]:
                    self._send(one, Stop())
                    self._retire(one)

    def _make_room(self, executor: Executor, machine: str) -> None:
        """Where workers are counted, let one go that is idle for want of attempts that it could run."""
        if not machine and len(self._workers) < executor.capacity.workers:
            return
        there = [one for one in self._workers.values() if one.executor is executor and not one.dying]
        staying = [one for one in there if (one.queue or not one.once) and one.machine == machine]
        capacity = executor.capacity
        most = next((one.workers for one in capacity.machines if one.name == machine), capacity.workers)
        if len(staying) >= most:
            idle = next((one for one in staying if not one.queue), None)
            if idle is not None:
                self._send(idle, Stop())
                self._retire(idle)

    # --- sending ----------------------------------------------------------------------------------------------

    def dispatch(self, starts: Sequence[Start], now: float) -> list[Event]:
        """Give attempts to workers: to busy ones those that are sent ahead, else to idle or new ones.

        What one worker gets is sent at once.
        """
        outgoing: dict[HeldWorker, list[ToWorker]] = {}
        refused = []
        for start in starts:
            worker = self._choose(start)
            if worker is None:
                refused.append(start.token)
                continue
            worker.idle_since = 0.0
            worker.queue.append(HeldAttempt(self._run_id, start.task, start.token))
            self._at[start.token] = worker
            self._add_messages(worker, start, outgoing.setdefault(worker, []))
        for worker, messages in outgoing.items():
            self._send(worker, *messages)
            if self.watch is not None:
                self._tell_begin(worker)
        return [Handback(tuple(refused), now)] if refused else []

    def _add_messages(self, worker: HeldWorker, start: Start, messages: list[ToWorker]) -> None:
        """Add what ``worker`` must hear to run an attempt."""
        task = start.task
        step = task.step
        if self.secrets:
            self._add_secrets(worker, step.define, messages)
        if step.id not in worker.known:
            worker.known[step.id] = None
            if len(worker.known) > KNOWN_STEPS:
                del worker.known[next(iter(worker.known))]
            messages.append(step.define)
        execute = Execute(
            start.token,
            step.id,
            f"{self._run_name}/{task.id}",
            task.attempt,
            arguments_of(task),
            start.gpus,
            task.attempts_before,
            b"" if self._seed is None else task_seed(self._seed, task.key),
            None if task.gang is None else self._node(task, task.gang),
            0 if task.resources is step.policy.resources else task.resources.memory,
        )
        messages.append(execute)
        if worker.once:
            messages.append(Stop())

    def _add_secrets(self, worker: HeldWorker, define: Define, messages: list[ToWorker]) -> None:
        missing = names_for(define.secrets, self.secrets) - worker.secrets
        if missing or worker.secrets_known != len(self.secrets):
            worker.secrets |= missing
            worker.secrets_known = len(self.secrets)
            values = tuple([(name, self.secrets[name]) for name in sorted(missing)])
            messages.append(Secrets(values, of_steps(self.secrets)))

    def _node(self, task: Task, gang: Gang) -> GangNode:
        first = self._at.get(gang.tasks[0].token)
        address = first.executor.address_of(first.link) if first is not None else ""
        return GangNode(task.rank, len(gang.tasks), address)

    def _tell_begin(self, worker: HeldWorker) -> None:
        """Report the worker's current attempt to the watcher once its pid is known."""
        pid = worker.link.where[1]
        if self.watch is not None and worker.queue and pid and not worker.queue[0].announced:
            worker.queue[0].announced = True
            self.watch(AttemptStarted(worker.queue[0].task, worker.queue[0].tries, pid))

    def where(self, token: int) -> tuple[str, int] | None:
        """Host and process of the worker that has this attempt; None while it is not up."""
        worker = self._at.get(token)
        if worker is None:
            return None
        there = worker.link.where
        return there if there[1] or (self.leaving and there[0]) else None

    def _choose(self, start: Start) -> HeldWorker | None:
        step = start.task.step
        executor = self._places[step.policy.place or self._place]
        if start.ahead:
            there = (w for w in self._workers.values() if w.executor is executor and w.queue)
            busy = [w for w in there if w.kind == step.kind and not (w.once or w.dying)]
            # None if all busy workers ended since the decision: there is no room, and the attempt is handed back.
            return min(busy, key=lambda w: len(w.queue)) if busy else None
        spec = executor.spec(start.task.policy)
        if start.machine:
            spec = on_machine(spec, start.machine)
        gang = start.task.gang
        if gang is not None:
            return self._hire(executor, spec, [], step, GangSeat(gang.tasks[0].token, start.task.rank, len(gang.tasks)))
        idle = self._idle.get(spec)
        if idle is None:
            idle = self._idle[spec] = []
        if idle:
            return idle.pop()
        return self._hire(executor, spec, idle, step)

    def _send(self, worker: HeldWorker, *messages: ToWorker) -> None:
        if not worker.link.send(*messages) and not worker.blocked:
            worker.blocked = True
            self._epoll.modify(worker.fd, select.EPOLLIN | select.EPOLLOUT)

    def _flush(self, worker: HeldWorker) -> None:
        if worker.blocked and worker.link.flush():
            worker.blocked = False
            self._epoll.modify(worker.fd, select.EPOLLIN)

    # --- attempts of earlier sessions ---------------------------------------------------------------------------

    def rejoin(self, command: Rejoin, now: float) -> list[Event]:
        """Take the attempt over from the worker that has it, now or when that comes back."""
        attempt = HeldAttempt(self._run_id, command.task, command.token)
        attempt.log.go_on(command.seq, command.logged)
        self._awaited[command.token] = attempt, command.logged
        return self._claim(self._places[command.task.step.policy.place or self._place], command.token, now)

    def _claim(self, executor: Executor, token: int, now: float) -> list[Event]:
        returned = executor.claim(token)
        if returned is None:
            return []
        attempt, logged = self._awaited.pop(token)
        worker = HeldWorker(returned.link, executor, [], once=True)  # what it knows of steps is of another session
        worker.offsets = [at + kept for at, kept in zip(returned.began, logged, strict=True)]
        for stream, recorded in enumerate(worker.offsets):
            worker.link.trim_log(stream, recorded)
        worker.queue.append(attempt)
        self._workers[worker.fd] = worker
        self._at[token] = worker
        self._epoll.register(worker.fd, select.EPOLLIN)
        worker.machine = returned.machine
        self._send(worker, Stop())
        self._tell_begin(worker)
        return [Promote(token, now, returned.machine)]

    def forget(self, token: int, now: float) -> list[Event]:
        """Wait no longer for the worker that had this attempt."""
        awaited = self._awaited.pop(token, None)
        return [] if awaited is None else [Handback((token,), now)]

    def kill(self, token: int, grace: float, now: float) -> list[Event]:
        """Stop the worker that has this attempt."""
        if token in self._awaited:
            return self.forget(token, now)
        worker = self._at.get(token)
        if worker is not None:
            worker.killed_for = token
            _log.info("worker.stopped", "its attempt is to end", run=self._run_name, worker=name_of(worker))
            self._stop(worker, grace)
        return []

    def count(self) -> int:
        """How many workers live."""
        return len(self._workers)

    def kill_all(self) -> None:
        """Stop every worker at once."""
        for worker in self._workers.values():
            self._stop(worker, 0.0)

    def _stop(self, worker: HeldWorker, grace: float) -> None:
        self._retire(worker)
        worker.executor.stop(worker.link, grace)

    def _retire(self, worker: HeldWorker) -> None:
        worker.dying = True
        if worker in worker.idle:
            worker.idle.remove(worker)

    # --- receiving --------------------------------------------------------------------------------------------

    def on_socket(self, fd: int, mask: int, now: float) -> list[Event]:
        """Read what a worker says."""
        worker = self._workers.get(fd)
        if worker is None:
            return []
        if mask & select.EPOLLOUT:
            self._flush(worker)
        if not mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return []
        events: list[Event] = []
        if self._hear(worker, now, events) is None:  # its exit follows
            self._epoll.unregister(fd)
            self._retire(worker)
        return events

    def _hear(self, worker: HeldWorker, now: float, events: list[Event]) -> list[ToDriver] | None:
        """Take what a worker said and return it; None when nothing more can come from it."""
        if worker.protocol_error:
            return None
        try:
            messages = worker.link.receive()
        except ProtocolError:
            worker.protocol_error = True
            self._stop(worker, 0.0)
            return None
        for message in messages or ():
            self._on_message(worker, message, now, events)
        return messages

    def _on_message(self, worker: HeldWorker, message: ToDriver, now: float, events: list[Event]) -> None:
        match message:
            case Done() | Failed():
                self._on_finished(worker, message, now, events)
            case Track():
                self._on_track(worker, message, now)
            case Imported():
                worker.executor.heard(message.step, message.installed, message.own)
            case HandbackMessage(tokens=back):
                events.append(self._take_back(worker, now, back))
            case Ready():
                self._tell_begin(worker)

    def _on_finished(self, worker: HeldWorker, message: Done | Failed, now: float, events: list[Event]) -> None:
        attempt = worker.queue[0] if worker.queue else None
        if attempt is None or attempt.token != message.token:
            return
        ends = message.usage.log_ends
        if ends[0] != worker.offsets[0] or ends[1] != worker.offsets[1]:
            self._pump(worker, attempt, now, ends)
        if attempt.printed is not None:
            self._let_out(attempt, now)
        worker.queue.popleft()
        del self._at[message.token]
        if isinstance(message, Done):
            done = Succeeded(message.token, message.outputs, message.usage, now, worker.link.where, message.reusable)
            events.append(done)
        elif message.bad_blob and (source := source_of(attempt.task, message.bad_blob)):
            self.lost.append((source[0], message.token, source[1]))
        else:
            kind = outcome(message.failure)
            problem = kind(message.error, message.traceback, message.exception, message.classes)
            failed = AttemptFailed(message.token, problem, now, message.usage, worker.link.where)
            self._end_log(attempt, failed)
            events.append(failed)
            name, seconds = f"{self._run_name}/{attempt.task.id}", message.usage.finished - message.usage.started
            _log.info("attempt.failed", message.error, task=name, worker=name_of(worker), seconds=seconds)
        if message.last and not worker.once:
            worker.once = True
            self._send(worker, Stop())
            if worker.queue:
                events.append(self._take_back(worker, now))
        elif worker.queue:
            self._tell_begin(worker)
            events.append(Promote(worker.queue[0].token, now, worker.machine))
        elif not worker.once and not worker.dying:
            worker.idle.append(worker)

    def _on_exit(self, ended: WorkerExit, slots: Mapping[int, Slot], now: float) -> list[Event]:
        """A worker is gone: hear its last words, then settle what it had in hand."""
        worker = next((w for w in self._workers.values() if w.link is ended.link), None)
        if worker is None:
            return []
        events: list[Event] = []
        while self._hear(worker, now, events):
            pass
        self._retire(worker)
        del self._workers[worker.fd]
        tell = _log.warning if ended.code and not worker.killed_for else _log.debug
        tell("worker.ended", "a worker is gone", run=self._run_name, worker=name_of(worker), code=ended.code)
        # If the kill was meant for an attempt that had already finished, the next one is handed back instead of failed.
        not_at_fault = (
            ended.code < 0 and worker.killed_for and worker.queue and worker.queue[0].token != worker.killed_for
        )
        slot = slots.get(worker.queue[0].token) if worker.queue else None
        ended = self._judged(worker, slot, ended)
        if worker.queue and ended.begun and not not_at_fault:
            current = worker.queue.popleft()
            self._at.pop(current.token, None)
            self._pump(worker, current, now, None)
            self._let_out(current, now)
            failed = self._post_mortem(worker, current, slot, ended, now)
            if slot is None or slot.reason is not Cancelled:
                self._end_log(current, failed)
            elif self.log_rules.killed:
                self._keep(current, 1, f"{self.log_rules.killed}\n".encode(), now)
            events.append(failed)
        if worker.queue:
            if ended.lost and not ended.begun:
                self._pump(worker, worker.queue[0], now, None)
                self._let_out(worker.queue[0], now)
            events.append(self._take_back(worker, now, why="" if ended.begun else ended.lost))
        worker.link.close()
        return events

    def _judged(self, worker: HeldWorker, slot: Slot | None, ended: WorkerExit) -> WorkerExit:
        """The end of a worker that was no attempt's fault: a failure all the same of one that was to be stopped, or
        whose task has lost its workers too often.
        """
        if ended.begun or not ended.lost or not worker.queue:
            return ended
        if slot is not None and slot.reason is not None:
            return msgspec.structs.replace(ended, begun=True)
        task = worker.queue[0].task.id
        times = self._taken[task] = self._taken.get(task, 0) + 1
        if not ended.repeats or times <= ended.repeats:
            return ended
        why = f"{ended.lost}. So the task lost its worker {times} times; its place repeats that {ended.repeats} times"
        return msgspec.structs.replace(ended, begun=True, lost=f"{why} (repeats = {ended.repeats})")

    def _take_back(
        self, worker: HeldWorker, now: float, tokens: tuple[int, ...] | None = None, why: str = ""
    ) -> Handback:
        """Attempts that it has and will not begin: all, or those of ``tokens`` that are really in its hands."""
        back = tuple(one.token for one in worker.queue if tokens is None or one.token in tokens)
        worker.queue = deque(one for one in worker.queue if one.token not in back)
        for token in back:
            self._at.pop(token, None)
        return Handback(back, now, why)

    def _post_mortem(
        self, worker: HeldWorker, attempt: HeldAttempt, slot: Slot | None, ended: WorkerExit, now: float
    ) -> AttemptFailed:
        kind, error = cause_of(ended, slot, attempt.task.step.policy.timeout, attempt.memory)
        if worker.protocol_error:
            kind, error = Crashed, "something in its process wrote to the socket that is not its own"
        tail = self._tail(worker)
        name, base = RAISED_AS.get(kind, ("TaskCrashedError", "Exception"))
        problem = kind(
            error,
            traceback=f"The last lines it printed:\n{tail}" if tail else "",
            classes=(f"headrace.{name}", "headrace.TaskError", f"builtins.{base}"),
            exit_code=ended.code,
        )
        return AttemptFailed(attempt.token, problem, now, where=worker.link.where)

    def _tail(self, worker: HeldWorker) -> str:
        texts = []
        for stream in (0, 1):
            end = worker.link.log_end(stream)
            texts.append(worker.link.read_log(stream, max(0, end - _TAIL), end).decode(errors="replace"))
        text = "".join(texts)
        if self.secrets:
            text = redact(text, [value for value in self.secrets.values() if len(value) >= SHORTEST])
        return "\n".join(text.splitlines()[-20:])

    # --- output, metrics --------------------------------------------------------------------------------------

    def _pump(self, worker: HeldWorker, attempt: HeldAttempt, now: float, ends: tuple[int, int] | None) -> None:
        """Take what the attempt printed since the last look."""
        for stream in (0, 1):
            start = worker.offsets[stream]
            end = ends[stream] if ends is not None else worker.link.log_end(stream)
            if end < start:  # somebody truncated it
                worker.offsets[stream] = end
            elif end > start:
                self._take(worker, attempt, stream, end, now)

    def _take(self, worker: HeldWorker, attempt: HeldAttempt, stream: int, end: int, now: float) -> None:
        start = worker.offsets[stream]
        size, room = end - start, attempt.log.room(stream, self.log_rules)
        data = worker.link.read_log(stream, start, start + min(size, room)) if room else b""
        data += attempt.log.cut(stream, size, self.log_rules)
        worker.offsets[stream] = end
        if end > 1 << 20:
            worker.link.trim_log(stream, end - _TAIL)  # the rest is for the post mortem
        data = attempt.log.redacted(stream, data, self.secrets.values())
        if data:
            self._show(attempt, stream, data, now)

    def _let_out(self, attempt: HeldAttempt, now: float) -> None:
        """Take what was held back of the output of an attempt that printed, because it might have become a secret."""
        for stream, data in attempt.log.rest(self.secrets.values()):
            self._show(attempt, stream, data, now)

    def _show(self, attempt: HeldAttempt, stream: int, data: bytes, now: float) -> None:
        if self.watch is not None:
            self.watch(AttemptPrinted(attempt.task, stream, data))
        self._keep(attempt, stream, data, now)

    def _end_log(self, attempt: HeldAttempt, failed: AttemptFailed) -> None:
        """Let the log of an attempt that failed end as the rules say."""
        if self.log_rules.failed is None:
            return
        text = self.log_rules.failed(failed.problem)
        data = f"{text}\n".encode()
        self._keep(attempt, 1, b"\n" + data if attempt.log.broken_off else data, failed.now)
        if self.watch is not None:
            self.watch(AttemptFailure(attempt.task, attempt.tries, text))

    def _keep(self, attempt: HeldAttempt, stream: int, data: bytes, now: float) -> None:
        self._writes.append(attempt.log.chunk(stream, data, now))
        last = data.rstrip().rpartition(b"\n")[2]
        if last:
            self.last_line = (str(attempt.task.id), last[:500].decode(errors="replace"))

    def _on_track(self, worker: HeldWorker, message: Track, now: float) -> None:
        attempt = next((a for a in worker.queue if a.token == message.token), None)
        if attempt is None:
            return
        self._writes += tracked(self._run_id, attempt.task.id, message, now)

    def waits_for(self, unrecorded: Mapping[int, Slot]) -> dict[str, str]:
        """By step, what attempts wait for whose workers are not up; one reason for each step."""
        found: dict[str, str] = {}
        for token, slot in unrecorded.items():
            worker = self._at.get(token)
            step = slot.task.step.name
            if step not in found and worker is not None and (why := worker.link.waits_for):
                found[step] = why
        return found

    def take_writes(self, now: float) -> list[Write]:
        """Output, tracking and news of pods that arrived and are not written yet."""
        for executor in self._places.values():
            self._writes += [pod_record(self._run_id, one) for one in executor.pod_histories()]
        for worker in self._workers.values():
            if worker.queue:
                self._pump(worker, worker.queue[0], now, None)
        writes, self._writes = self._writes, []
        return writes

    def take_lost_inputs(self) -> list[tuple[TaskId, int, str]]:
        """Attempts that could not read an input: ``(producer, token, output)``."""
        lost, self.lost = self.lost, []
        return lost

    def over_memory(self, slots: Mapping[int, Slot]) -> Iterable[tuple[int, int]]:
        """Running attempts that use more memory than they asked for, with the bytes; containers limit themselves."""
        over = []
        for worker in self._workers.values():
            if worker.queue and not worker.queue[0].task.step.has_container:
                token = worker.queue[0].token
                slot = slots.get(token)
                asked = slot.resources if slot is not None and not slot.reason else None
                if asked is not None and asked.memory and asked.enforced:
                    used = worker.link.memory()
                    if used > asked.memory:
                        worker.queue[0].memory = used
                        over.append((token, used))
        return over

    def close(self) -> None:
        """End all workers and close the links to them."""
        for executor in self._places.values():
            executor.close()
        for worker in self._workers.values():
            worker.link.close()
        self._workers.clear()
        for idle in self._idle.values():  # which their workers have too
            idle.clear()
