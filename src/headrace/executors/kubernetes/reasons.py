"""What a pod's status and Kubernetes' events about it mean, as one plain sentence, and whose fault it is. Pure.

The texts are predicates: ``pod NAME`` and the text make a sentence. What is read here was written by schedulers,
kubelets and container runtimes of many versions, so nothing about its form is taken for granted.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

#: "": nothing is wrong (yet). ``attempt``: what ran in the pod ended by itself. ``memory``: it needed more than its
#: limit. ``place``: settings of place or step are wrong, and no pod of them can start. ``quota``: the namespace allows
#: no more pods now. ``queue``: a queue of the cluster holds the pod. ``cluster``: the cluster took the pod away, or
#: has no room for it; the attempt is not to blame.
Fault = Literal["", "attempt", "memory", "place", "quota", "queue", "cluster"]


class Reason(NamedTuple):
    """Why a pod is as it is. ``started``: its main container has run. ``exit_code``: of the container that ended (None:
    none did). ``final``: nothing will change by waiting.
    """

    text: str
    started: bool
    fault: Fault
    exit_code: int | None = None
    final: bool = False

    @property
    def lacks_room(self) -> bool:
        """Whether it waits for room: on a node, or in a quota."""
        return not self.started and (self.fault in ("quota", "queue") or _LITTLE in self.text)


class _Container(NamedTuple):
    """A container of a pod as it is now."""

    name: str
    image: str
    waiting: Mapping[str, Any]
    terminated: Mapping[str, Any]
    main: bool
    label: str  # names it in a text where the pod has several


_DISRUPTIONS = {
    "PreemptionByScheduler": "was preempted by a pod of higher priority",
    "EvictionByEvictionAPI": "was evicted (its node is drained, or an autoscaler removes it)",
    "DeletionByTaintManager": "was deleted since its node became unreachable or got a taint",
    "DeletionByPodGC": "was lost with its node",
    "TerminationByKubelet": "was ended by its node",
}
_CLUSTER_REASONS = {
    "Evicted": "was evicted from its node",
    "Preempting": "was preempted by a critical pod of its node",
    "NodeLost": "was lost with its node",
    "NodeShutdown": "ended since its node shuts down",
    "Shutdown": "ended since its node shuts down",
    "Terminated": "ended since its node shuts down",
    "NodeAffinity": "was refused by its node, whose labels no longer match",
    "UnexpectedAdmissionError": "was refused by its node",
}
#: What an eviction says when the pod itself used more than its limits allow.
_OWN_EVICTION = re.compile(r"exceed\w* (the total limit|its local ephemeral storage limit|the limit|limit)", re.I)
_STORAGE = "used more disk space than its limit (ephemeral-storage)"
#: Words in a pull error, and what they mean.
_PULLS = (
    (r"unauthorized|denied|authentication|forbidden|\b40[13]\b", "the registry refuses it (see `image_pull_secrets`)"),
    (r"not found|manifest unknown|\b404\b|does not exist", "the registry has no such image"),
    (r"toomanyrequests|too many requests|\b429\b", "the registry limits the number of pulls"),
    (r"no match for platform|exec format", "it has no variant for the node's processor"),
    (r"no space left", "the node's disk is full"),
    (r"x509|certificate", "the registry's certificate is not trusted by the node"),
    (r"no such host|dial |connection refused|timeout|timed out|unreachable|EOF", "the registry cannot be reached"),
)
_UNITS = {"": 1.0, "m": 1e-3} | {
    letter + i: (1024.0 if i else 1000.0) ** power
    for power, letters in enumerate(("kK", "M", "G", "T", "P", "E"), start=1)
    for letter in letters
    for i in ("", "i")
}
#: What is said of a pod that somebody deleted.
DELETED = "was deleted, by hand or by another program"
_CODES = {
    125: "the container could not be run",
    126: "its command is not executable",
    127: "its command was not found",
    128: "its command could not be started",
}
#: What is said of nodes that have no room for a pod.
_LITTLE = "too little"
_NODES = re.compile(r"^\D*(\d+)/(\d+) nodes are available: (.*)$", re.S)
_AFTER_NODES = re.compile(r"\. (?:no new claims|preemption:|not found)|\.\s*$")
_LONGEST = 400


def reason_of(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]] = ()) -> Reason:
    """Why ``pod`` is as it is, by its status and the events about it (oldest first)."""
    pod = _map(pod)
    status = _map(pod.get("status"))
    containers = list(_containers(pod))
    started = any(_has_run(pod, one) for one in containers if one.main)
    found = (
        _taken_away(status, events, started)
        or _out_of_memory(pod, containers, started)
        or _deleted(pod, containers, started)
        or _waiting(containers, started)
        or _ended(status, containers, started)
        or _unscheduled(pod, status)
        or _not_ready(pod, containers, events, started)
    )
    return found._replace(text=one_line(found.text, _LONGEST))


def reason_of_refusal(code: int, reason: str, message: str) -> Reason:
    """Why the API server did not create a pod."""
    text = one_line(message, _LONGEST)
    quota = re.search(r"exceeded quota: ([^,]+), requested: (.+), used: (.+), limited: (.+)$", text)
    if quota:
        name, asked, used, limited = quota.groups()
        if too_much := _too_much(asked, limited):
            return Reason(
                f"cannot be created: {too_much} quota {name} of the namespace allows", False, "place", final=True
            )
        return Reason(f"must wait: quota {name} of the namespace is used up ({used} of {limited})", False, "quota")
    if reason == "NamespaceTerminating":
        return Reason("cannot be created: its namespace is being deleted", False, "place", final=True)
    if code == 404:
        return Reason(f"cannot be created: {text}", False, "place", final=True)
    if code in (400, 401, 403, 409, 422):
        detail = re.sub(r"^(?:[Pp]ods? )?\"?[\w.-]*\"? is (forbidden|invalid): ", "", text)
        return Reason(f"cannot be created: {detail}", False, "place", final=True)
    return Reason(f"cannot be created: {text}", False, "cluster")


def _too_much(asked: str, limited: str) -> str:
    """Which resource is asked for beyond a quota that is empty."""
    wanted, limits = ([one.partition("=") for one in text.split(",")] for text in (asked, limited))
    allowed = {name: _quantity(amount) for name, _, amount in limits}
    for name, _, amount in wanted:
        if _quantity(amount) > allowed.get(name, float("inf")):
            return f"it asks for more {name} ({amount}) than"
    return ""


def _quantity(text: str) -> float:
    """A quantity of Kubernetes, as ``500m`` or ``2Gi``; 0 where it cannot be read."""
    matched = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", text.strip())
    try:
        return float(matched[1]) * _UNITS[matched[2]] if matched else 0.0
    except (KeyError, ValueError):
        return 0.0


# --- taken away ---------------------------------------------------------------------------------------------------


def explains_end(event: Mapping[str, Any]) -> bool:
    """Whether an event may be all that says why its pod has ended: where the containers end by themselves when they are
    asked to, the kubelet leaves nothing of an eviction in the pod's status.
    """
    return event.get("reason") in ("Evicted", "Preempting")


def _taken_away(status: Mapping[str, Any], events: Sequence[Mapping[str, Any]], started: bool) -> Reason | None:
    told = next((one for one in map(_map, reversed(events)) if explains_end(one)), status)
    told = status if status.get("reason") else told
    reason, message = _text(told.get("reason")), _text(told.get("message"))
    if reason == "Evicted" and _OWN_EVICTION.search(message):
        what = "used more memory-backed or disk space than the limit of its volume" if "volume" in message else _STORAGE
        return Reason(f"{what}: {_sentence(message)}", started, "attempt", final=True)
    if reason == "DeadlineExceeded":
        return Reason("ran longer than its deadline (activeDeadlineSeconds)", started, "attempt", final=True)
    if reason.startswith("OutOf"):
        return Reason(f"was refused by its node, which has too little {reason[5:]}", started, "cluster", final=True)
    if reason in _CLUSTER_REASONS:
        return Reason(_with(_CLUSTER_REASONS[reason], message), started, "cluster", final=True)
    disruption = _condition(status, "DisruptionTarget")
    if disruption.get("status") == "True":
        why, detail = _text(disruption.get("reason")), _text(disruption.get("message"))
        said = _DISRUPTIONS.get(why) or _with(f"was taken away by the cluster ({why})", detail)
        return Reason(said, started, "cluster", final=True)
    if status.get("phase") == "Unknown":
        return Reason("cannot be asked: its node does not answer", started, "cluster")
    return None


def _out_of_memory(pod: Mapping[str, Any], containers: list[_Container], started: bool) -> Reason | None:
    for one in containers:
        if one.terminated.get("reason") == "OOMKilled":
            limit = _text(_map(_resources(pod, one.name).get("limits")).get("memory"))
            text = f"needed more memory than its limit{f' of {limit}' if limit else ''}{one.label} and was killed"
            return Reason(text, started, "memory", _code(one.terminated), final=True)
    return None


def _deleted(pod: Mapping[str, Any], containers: list[_Container], started: bool) -> Reason | None:
    about = _map(pod.get("metadata"))
    when = _text(about.get("deletionTimestamp"))
    if not when:
        return None
    ended = [one.terminated for one in containers if one.main and one.terminated]
    if ended and all(_before_deletion(_text(one.get("finishedAt")), about) for one in ended):
        return None  # it had ended by itself
    code = _code(ended[0]) if ended else None
    return Reason(DELETED, started, "cluster", code, final=True)


def _before_deletion(finished: str, about: Mapping[str, Any]) -> bool:
    """Whether a container ended before its pod was deleted; RFC 3339 in UTC, to the second."""
    try:
        grace = timedelta(seconds=float(about.get("deletionGracePeriodSeconds") or 0))
        asked = datetime.fromisoformat(_text(about.get("deletionTimestamp"))) - grace
        return datetime.fromisoformat(finished) < asked
    except (ValueError, TypeError, OverflowError):
        return False


# --- containers ---------------------------------------------------------------------------------------------------


def _waiting(containers: list[_Container], started: bool) -> Reason | None:
    for one in containers:
        reason, message = _text(one.waiting.get("reason")), _text(one.waiting.get("message"))
        if reason in ("", "ContainerCreating", "PodInitializing"):
            continue
        cannot = f"cannot start{one.label}: "
        if reason == "InvalidImageName":
            return Reason(f"{cannot}{one.image!r} is not the name of an image", started, "place", final=True)
        if reason == "ErrImageNeverPull":
            text = f"{cannot}image {one.image} is not on its node, and its pull policy is Never"
            return Reason(text, started, "place", final=True)
        if "Image" in reason or reason in ("RegistryUnavailable", "SignatureValidationFailed"):
            return Reason(f"{cannot}image {one.image} cannot be pulled: {_pull_error(message)}", started, "place")
        if reason == "CrashLoopBackOff":
            text = f"crashes again and again{one.label}: {_exit_text(one.terminated) or _sentence(message)}"
            return Reason(text, started, "attempt", _code(one.terminated))
        if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
            root = "runAsNonRoot" in message
            return Reason(f"{cannot}{_config_error(message)}", started, "place", final=root)
        return Reason(f"{cannot}{reason}{f': {_sentence(message)}' if message else ''}", started, "place")
    return None


def _pull_error(message: str) -> str:
    for words, meaning in _PULLS:
        if re.search(words, message, re.I):
            detail = message.rsplit(": ", 1)[-1].strip()
            return f"{meaning} ({one_line(detail, 120)})" if detail and detail != message else meaning
    return _sentence(message) or "the registry does not say why"


def _config_error(message: str) -> str:
    missing = re.search(r'(secret|configmap) "([^"]+)" not found', message)
    if missing:
        kind = "config map" if missing[1] == "configmap" else missing[1]
        return f"{kind} {missing[2]!r} does not exist in its namespace"
    key = re.search(r"couldn't find key (\S+) in (\w+) (\S+)", message)
    if key:
        kind = "config map" if key[2].lower() == "configmap" else key[2].lower()
        return f"{kind} {key[3].rpartition('/')[2]!r} has no key {key[1]!r}"
    if "runAsNonRoot" in message:
        return "its image runs as root, which runAsNonRoot forbids; set a user (runAsUser) or use another image"
    return _sentence(message) or "its container cannot be created"


def _ended(status: Mapping[str, Any], containers: list[_Container], started: bool) -> Reason | None:
    phase = status.get("phase")
    over = phase in ("Failed", "Succeeded")
    for one in sorted(containers, key=lambda one: _code(one.terminated) == 0):  # a failure says more than a success
        code = _code(one.terminated)
        if not one.terminated or (code == 0 and not (one.main and over)):
            continue
        if one.terminated.get("reason") == "StartError":
            detail = _text(one.terminated.get("message")).removesuffix(": unknown")
            detail = detail.partition("unable to start container process: ")[2] or detail
            return Reason(f"cannot start{one.label}: {_sentence(detail)}", started, "place", code, final=over)
        if one.main:
            fault: Fault = "" if code == 0 else "attempt"
            return Reason(f"ended{one.label}: {_exit_text(one.terminated)}", started, fault, code, final=over)
        if phase in ("Failed", "Pending"):
            text = f"cannot start: its container {one.name!r} ended: {_exit_text(one.terminated)}"
            return Reason(text, started, "place", code, final=over)
    if phase == "Failed":
        said = _sentence(_text(status.get("message"))) or _text(status.get("reason")) or "its node does not say why"
        return Reason(f"failed: {said}", started, "cluster", final=True)
    return Reason("ended", started, "", 0, final=True) if phase == "Succeeded" else None


def _exit_text(terminated: Mapping[str, Any]) -> str:
    code = _code(terminated)
    if code is None:
        return ""
    if code > 128 and (name := _signal(code - 128)):
        return f"exit code {code} ({name})"
    return f"exit code {code}" + (f" ({_CODES[code]})" if code in _CODES else "")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


# --- not yet ------------------------------------------------------------------------------------------------------


def _unscheduled(pod: Mapping[str, Any], status: Mapping[str, Any]) -> Reason | None:
    condition = _condition(status, "PodScheduled")
    if condition.get("status") != "False":
        return None
    reason, message = _text(condition.get("reason")), _text(condition.get("message"))
    if reason == "SchedulingGated":
        labels = _map(_map(pod.get("metadata")).get("labels"))
        queue = _text(labels.get("kueue.x-k8s.io/queue-name"))
        gates = [_text(_map(one).get("name")) for one in _list(_map(pod.get("spec")).get("schedulingGates"))]
        where = f"in queue {queue!r} of Kueue" if queue else f"for {', '.join(gates) or 'a scheduling gate'}"
        return Reason(f"waits {where}", False, "queue")
    return Reason(f"waits for a node: {scheduling_text(pod, message)}", False, "cluster")


def scheduling_text(pod: Mapping[str, Any], message: str) -> str:
    """The scheduler's message in plain words. Source of its form: Kubernetes, pkg/scheduler/framework/types.go."""
    matched = _NODES.match(message)
    if matched is None:
        return _sentence(message) or "the scheduler does not say why"
    total = matched[2]
    body = _AFTER_NODES.split(matched[3], maxsplit=1)[0]
    said = [_of_nodes(pod, one.strip(), total) for one in re.split(r",\s+(?=\d+ )", body)]
    return "; ".join(said)


def _of_nodes(pod: Mapping[str, Any], text: str, total: str) -> str:
    counted = re.match(r"(\d+) (.*)$", text, re.S)
    if counted is None:
        return text
    number, what = counted.groups()
    nodes = f"{number} of {total} node{'' if total == '1' else 's'}"
    if what.startswith("Insufficient "):
        resource = what.removeprefix("Insufficient ")
        return f"{_LITTLE} {resource} free on {nodes}{_asked(pod, resource)}"
    taint = re.match(r"node\(s\) had untolerated taint(?:\(s\))?(?: \{(.*?): ?(.*)\})?$", what)
    if taint:
        named = f" {taint[1]}{f'={taint[2]}' if taint[2] else ''}" if taint[1] else ""
        return f"{nodes} {_verb(number, 'has', 'have')} a taint{named} that the pod does not tolerate"
    if "node affinity/selector" in what:
        return f"{nodes} {_verb(number, 'does', 'do')} not match its node selector or affinity"
    if what == "Too many pods":
        return f"{nodes} {_verb(number, 'has', 'have')} no room for more pods"
    if what == "node(s) were unschedulable":
        return f"{nodes} {_verb(number, 'is', 'are')} cordoned"
    return f"{nodes}: {what.removeprefix('node(s) ')}"


def _asked(pod: Mapping[str, Any], resource: str) -> str:
    amounts = {
        _text(_map(_resources(pod, _text(_map(one).get("name"))).get("requests")).get(resource))
        for one in _list(_map(pod.get("spec")).get("containers"))
    } - {""}
    return f" ({amounts.pop()} asked for)" if len(amounts) == 1 else ""


def _verb(number: str, one: str, many: str) -> str:
    return one if number == "1" else many


def _not_ready(
    pod: Mapping[str, Any], containers: list[_Container], events: Sequence[Mapping[str, Any]], started: bool
) -> Reason:
    if started:
        return Reason("runs", True, "")
    scheduled = _condition(_map(pod.get("status")), "PodScheduled").get("status") == "True"
    troubles = [_map(one) for one in events if _map(one).get("type") == "Warning"]
    if scheduled:
        troubles = [one for one in troubles if one.get("reason") != "FailedScheduling"]
    if troubles:
        reason, message = _text(troubles[-1].get("reason")), _text(troubles[-1].get("message"))
        if reason in ("FailedMount", "FailedAttachVolume"):
            volume = re.search(r'volume "([^"]+)"', message)
            name = f" {volume[1]!r}" if volume else ""
            detail = _config_error(message.partition(" : ")[2] or message)
            return Reason(f"cannot start: its volume{name} cannot be mounted: {detail}", False, "place")
        if reason == "FailedCreatePodSandBox":
            return Reason(f"cannot start: its node cannot make its network: {_sentence(message)}", False, "cluster")
        if reason == "FailedScheduling":
            return Reason(f"waits for a node: {scheduling_text(pod, message)}", False, "cluster")
        return Reason(f"has not started yet: {reason}: {_sentence(message)}", False, "cluster")
    if any(_text(_map(one).get("reason")) == "Pulling" for one in events) and not _pulled(events):
        return Reason("is starting: its image is being pulled", False, "")
    return Reason("is starting on its node" if scheduled or containers else "waits for a node", False, "")


def _pulled(events: Sequence[Mapping[str, Any]]) -> bool:
    return any(_text(_map(one).get("reason")) == "Pulled" for one in events)


# --- reading ------------------------------------------------------------------------------------------------------


def _containers(pod: Mapping[str, Any]) -> Iterator[_Container]:
    status = _map(pod.get("status"))
    groups = [(False, _list(status.get("initContainerStatuses"))), (True, _list(status.get("containerStatuses")))]
    several = sum(len(group) for _, group in groups) > 1
    images = {
        _text(_map(one).get("name")): _text(_map(one).get("image"))
        for one in _list(_map(pod.get("spec")).get("containers"))
    }
    for main, group in groups:
        for one in map(_map, group):
            state, last = _map(one.get("state")), _map(one.get("lastState"))
            name = _text(one.get("name"))
            yield _Container(
                name,
                images.get(name) or _text(one.get("image")),
                _map(state.get("waiting")),
                _map(state.get("terminated")) or (_map(last.get("terminated")) if state.get("waiting") else {}),
                main,
                f" (container {name!r})" if several else "",
            )


def _has_run(pod: Mapping[str, Any], container: _Container) -> bool:
    for one in map(_map, _list(_map(pod.get("status")).get("containerStatuses"))):
        if _text(one.get("name")) == container.name:
            states = [_map(_map(one.get(which)).get("terminated")) for which in ("state", "lastState")]
            ran = [
                ended for ended in states if ended and ended.get("reason") not in ("StartError", "ContainerCannotRun")
            ]
            return bool(ran) or "running" in _map(one.get("state"))
    return False


def _resources(pod: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    for one in map(_map, _list(_map(pod.get("spec")).get("containers"))):
        if _text(one.get("name")) == container:
            return _map(one.get("resources"))
    return {}


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for one in map(_map, _list(status.get("conditions"))):
        if one.get("type") == kind:
            return one
    return {}


def _code(terminated: Mapping[str, Any]) -> int | None:
    code = terminated.get("exitCode")
    return code if isinstance(code, int) else None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _with(text: str, message: str) -> str:
    detail = _sentence(message)
    return f"{text}: {detail}" if detail else text


def _sentence(message: str) -> str:
    return one_line(message, 240).rstrip(" .")


def one_line(text: str, length: int) -> str:
    """One line without control characters, cut to a length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= length else f"{line[: length - 3]}..."
