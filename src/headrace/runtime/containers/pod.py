"""The user's container of this pod: an engine that has one container, which is there before the first command.

In a pod of Kubernetes the worker is a container of its own beside that of the user's image, in which nothing of
Headrace is but ``headrace-entry``, a static program that an init container has put into a volume of both. It runs
commands there one after the other, so the container stays warm. ``images/entry`` has its source, and says how the two
containers meet.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from headrace.model.errors import EnvironmentSetupError
from headrace.runtime.containers.engine import Engine, Order

#: The variable of the worker's container that says where the user's container listens.
SOCKET = "HEADRACE_CONTAINER"
#: The variable that names the image of the user's container, as its pod does.
IMAGE = "HEADRACE_IMAGE"
#: The program, beside the socket.
PROGRAM = "headrace-entry"


@dataclass(frozen=True)
class Pod:
    """The other container of this pod; ``path`` is the socket at which it listens."""

    path: str
    kind: ClassVar[str] = "pod"
    mounts: ClassVar[bool] = False

    def known_image(self, image: str) -> str:
        """See ``Engine``; the pod was made for the digest that the driver knows."""
        return image if image.startswith("sha256:") else ""

    def image_id(self, image: str) -> str:
        """See ``Engine``: of the image of this pod, as the pod names it."""
        if image == os.environ.get(IMAGE):
            return image
        raise EnvironmentSetupError(
            f"image {image!r} is not that of this pod ({os.environ.get(IMAGE) or 'which has none'}); a step gets a pod "
            "with another image by image="
        )

    def arguments(self, order: Order) -> list[str]:
        """See ``Engine``. Limits and devices are those of the pod; what is mounted must be in a shared volume."""
        told = [os.path.join(os.path.dirname(self.path), PROGRAM), "run", self.path]  # noqa: PTH118, PTH120
        told += [f"--folder={order.folder}"] if order.folder else []
        told += [f"--need={one.source}" for one in order.mounts]
        told += [f"--env={name}" for name in order.variables]
        told += [f"--files={order.files}"] if order.files else []
        if order.entrypoint:
            raise EnvironmentSetupError(
                "the command of an image that says itself what it runs is not known in a pod; name its program"
            )
        return [*told, "--"]

    def removal(self, names: Sequence[str]) -> list[str]:
        """See ``Engine``."""
        return []

    def ask(self, arguments: Sequence[str]) -> str:
        """See ``Engine``."""
        raise EnvironmentSetupError(f"{arguments[0]}: images cannot be handled in a pod")


_: type[Engine] = Pod
