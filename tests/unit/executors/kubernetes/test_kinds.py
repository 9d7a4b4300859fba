"""Which images a pod has, by what place and step name."""

from __future__ import annotations

import pytest

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.kinds import PodKinds
from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.executors.kubernetes.pods import PodRules
from headrace.model.environments import EnvironmentLock
from headrace.model.errors import UsageError
from headrace.model.policy import StepPolicy

RULES = PodRules(pods=1, resources=None, floor=0, idle=1.0, start_timeout=1.0)
LOCK = EnvironmentLock(
    digest=b"\x01" * 32, request=b"", label="environment", python="3.12.1", platform="p", requirements="", packages=()
)
OWN = StepPolicy(image="r-base")
BUILT = StepPolicy(lock=LOCK)


@pytest.mark.parametrize(
    ("image", "beside", "baked", "policy", "found"),
    [
        ("ours", "ours", {}, StepPolicy(), ("ours", "")),
        ("ours", "ours", {}, OWN, ("ours", "r-base")),
        ("ours", "ours", {}, BUILT, ("ours", "")),
        ("", "drivers", {}, OWN, ("drivers", "r-base")),
        ("", "", {}, OWN, ("r-base", "r-base")),
        ("", "", {"01" * 32: "theirs"}, BUILT, ("theirs", "theirs")),
        ("ours", "ours", {"01" * 32: "theirs"}, BUILT, ("ours", "theirs")),
        ("", "drivers", {}, StepPolicy(), "has no image for it: .* an image of its own: image="),
        ("", "drivers", {}, BUILT, "has no image for it: .* an image of its environment, which headrace image build"),
    ],
)
def test_worker_runs_in_the_image_of_the_place_or_else_in_that_of_the_step(
    image: str, beside: str, baked: dict[str, str], policy: StepPolicy, found: tuple[str, str] | str
) -> None:
    options = KubernetesOptions(access=Access(), image=image, beside=beside, baked=baked, rules=RULES)
    kinds = PodKinds("gpu", options, {})
    if isinstance(found, str):
        with pytest.raises(UsageError, match=found):
            kinds.spec(policy)
        return
    kind = kinds[kinds.spec(policy).image]
    assert (kind.image, kind.within) == found
