"""What the pods of a session have in common, and how they are called."""

from __future__ import annotations

from headrace.executors.kubernetes.manifests import DOMAIN, PodPlace, dns_label, label_of
from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.model.workers import ServedRun


def run_labels(run: ServedRun) -> dict[str, str]:
    """The labels of all pods of a run, in every session."""
    return {
        "app.kubernetes.io/managed-by": "headrace",
        f"{DOMAIN}/run": label_of(run.name),
        f"{DOMAIN}/key": _unique(run),
    }


def session_of(run: ServedRun, place: str, address: str, options: KubernetesOptions) -> PodPlace:
    """What is the same for all pods of a session of a run in a place. ``address`` is where they find the driver."""
    own = dns_label(f"{run.key}/{place}", 9)[-8:]  # two places of a run may be one namespace
    name = f"{dns_label(run.name.replace('/', '-'), 30)}-{own}"  # short, since groups add to it
    return PodPlace(
        prefix=f"{name}-{run.session}",
        labels={**run_labels(run), f"{DOMAIN}/session": str(run.session), f"{DOMAIN}/place": label_of(place)},
        annotations={f"{DOMAIN}/run": run.name},
        address=address,
        token=f"{name}-join",
        secret=options.secret,
        variables=options.variables,
        owner=options.owner,
    )


def _unique(run: ServedRun) -> str:
    return dns_label(run.key, 9)[-8:]
