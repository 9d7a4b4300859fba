"""What an engine is: something that runs commands in containers of an image. No engine is named here."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import NamedTuple, Protocol

#: Seconds that an engine may take to answer, and to fetch an image.
ANSWER, PULL = 60.0, 3600.0
#: The label of containers that Headrace starts: the process that they belong to.
OWNER_LABEL = "headrace.owner"


class Mount(NamedTuple):
    """A file or folder of this machine that a container sees at ``target``."""

    source: str
    target: str
    writable: bool = False


class Limits(NamedTuple):
    """What a container may use: ``cpu`` cores and ``memory`` bytes (0: not limited), devices by their numbers."""

    cpu: float = 0
    memory: int = 0
    gpus: tuple[str, ...] = ()


class Order(NamedTuple):
    """A container that is to run.

    ``image`` is its name or digest; it is never fetched. ``name`` is that of the container (empty: any), ``owner`` the
    process that it belongs to. ``variables`` are names of environment variables, whose values are those that the
    command line itself has. ``files`` is the number of descriptors, from 3 on, that are passed on into it. ``stdin``:
    standard input is passed on. ``entrypoint``: what the image runs comes before the arguments. ``see_processes``:
    processes in the container have the numbers that they have for this process.
    """

    image: str
    name: str = ""
    owner: str = ""
    folder: str = ""
    mounts: Sequence[Mount] = ()
    variables: Sequence[str] = ()
    limits: Limits = Limits()
    files: int = 0
    stdin: bool = False
    network: str = "host"
    entrypoint: bool = False
    see_processes: bool = False


class Engine(Protocol):
    """Runs commands in containers, by a command line of its own that ends as the command does.

    The exit code is the command's, 128 + N after signal N, 125 where the container could not be had, 126 and 127 where
    the program could not be executed or is not there. The command line passes signals on to the command.
    """

    @property
    def kind(self) -> str:
        """What it is called: ``podman``, ``docker``, ``pod``."""

    @property
    def path(self) -> str:
        """Where it is on this machine, by which ``engine_at`` finds it again."""

    @property
    def mounts(self) -> bool:
        """Whether containers see what an order mounts; else they see only folders that they share with this one."""

    def __hash__(self) -> int:
        """Engines are equal that are the same program."""

    def known_image(self, image: str) -> str:
        """The digest of an image that is on this machine (``sha256:...``); empty if it is not."""

    def image_id(self, image: str) -> str:
        """The digest of an image, which is fetched if it is not here.

        Raises:
            EnvironmentSetupError: it is neither here nor can it be fetched.
        """

    def arguments(self, order: Order) -> list[str]:
        """The command line that runs a container and removes it afterwards, without the arguments of its program."""

    def removal(self, names: Sequence[str]) -> list[str]:
        """The command line that ends containers and removes them; empty where they end with their command line."""

    def ask(self, arguments: Sequence[str]) -> str:
        """What the engine prints when it is given ``arguments``.

        Raises:
            EnvironmentSetupError: it refuses; the message has what it says.
        """


def run_once(engine: Engine, image: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program of an image to its end, with nothing of this machine in its container."""
    return call([*engine.arguments(Order(image, network="none")), *arguments])


def remove(engine: Engine, name: str) -> None:
    """End a container and remove it; nothing happens if there is none."""
    if told := engine.removal([name]):
        call(told)


def call(arguments: Sequence[str], seconds: float = ANSWER) -> subprocess.CompletedProcess[str]:
    """Run the command line of an engine; what goes wrong with that is in the result, too."""
    try:
        return subprocess.run(
            list(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(list(arguments), 124, "", f"no answer within {seconds:g} s")
    except OSError as error:
        return subprocess.CompletedProcess(list(arguments), 126, "", str(error))


#: The exit code of engines for a container that could not be made.
NOT_STARTED = 125
#: Exit codes of engines for programs that did not run in their container, and what they mostly mean.
NOT_RUN = {
    NOT_STARTED: "the container could not be started",
    126: "the program could not be executed in the container",
    127: "the program is not in the image",
}


def why_not_run(kind: str, code: int, program: str, said: str) -> str:
    """What an exit code of ``NOT_RUN`` means for ``program``; ``said`` is what the engine of that kind said last."""
    means = f"mostly that means: {NOT_RUN[code]} ({program!r})"
    if "setting rlimit" in said:
        means = (
            f"this machine forbids {kind} to raise limits: put default_ulimits = "
            '["nofile=1024:1024", "nproc=1024:1024"] under [containers] of ~/.config/containers/containers.conf'
        )
    return f"{means}. {kind} says: {said or 'nothing'}"


def last_line(text: str) -> str:
    """The last line of what an engine says of a failure."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "it says nothing"
