"""Workers that speak of attempts that they do not have."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

from headrace._version import __version__
from headrace.executors.remote.executor import VERSIONS
from headrace.model import handshake
from headrace.model.handshake import PROTOCOL, Hello, Welcome
from headrace.model.messages import (
    Done,
    Execute,
    Handback,
    Output,
    Ready,
    ToDriver,
    Track,
    Usage,
    frame,
    framed,
    from_driver,
    raw_frames,
)
from headrace.stores import codecs
from headrace.stores.artifacts.memory import MemoryStore
from headrace.worker.channel import Channel
from headrace.worker.join_token import JoinToken, read_token, worker_context

FLOW = """
from headrace import flow, step

@step(place="far")
def double(n: int) -> int:
    return 2 * n

@flow
def doubles() -> list[int]:
    return [one.result() for one in double.map([1, 2])]
"""


class Worker:
    """A worker that is written by hand."""

    def __init__(self, port: int, token: JoinToken, number: int) -> None:
        self.channel = Channel(socket.create_connection(("127.0.0.1", port)), worker_context(), server=False)
        self.frames = raw_frames()
        self.heard: list[bytes] = []
        self.channel.start()
        hello = Hello(
            protocol=PROTOCOL, headrace=__version__, python=VERSIONS.python, secret=token.secret, owner=f"o{number}"
        )
        self.channel.send(framed(handshake.write(hello)))
        assert isinstance(handshake.read_answer(self.hear()), Welcome)
        self.say(Ready(1000 + number, "nowhere"))

    def say(self, *messages: ToDriver) -> None:
        self.channel.send(b"".join(frame(one) for one in messages))

    def hear(self) -> bytes:
        deadline = time.monotonic() + 30
        while not self.heard:
            assert time.monotonic() < deadline, "the driver says nothing"
            select.select([self.channel], [], [], 0.5)
            self.heard += self.frames.feed(self.channel.receive())
            assert self.heard or not self.channel.closed, "the driver closed the connection"
        return self.heard.pop(0)

    def attempt(self) -> Execute:
        while True:
            message = from_driver(self.hear())
            if isinstance(message, Execute):
                return message


def done(token: int, value: int) -> Done:
    packed = codecs.pack(value, MemoryStore())
    now = time.time()
    return Done(token, (Output("result", packed, codecs.preview(value, packed)),), Usage(now, now, 0.0, 0, (0, 0)))


def argument(message: Execute) -> int:
    value = codecs.unpack(message.arguments[0].value, MemoryStore())
    assert isinstance(value, int)
    return value


def test_worker_that_speaks_of_attempts_that_are_not_its_own_is_not_believed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "doubles.py").write_text(FLOW)
    place = f'kind = "workers"\nlisten = "127.0.0.1:{port}"\n'
    (tmp_path / "pyproject.toml").write_text(f"[tool.headrace.places.far]\n{place}")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    command = [sys.executable, "-m", "headrace.cli", "run", "doubles.py"]
    driver = subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    file = tmp_path / ".headrace" / "places" / "far.join"
    deadline = time.monotonic() + 40
    while not file.exists():
        assert time.monotonic() < deadline, "no joining token was written"
        time.sleep(0.05)
    time.sleep(1.0)  # until it listens
    workers = [Worker(port, read_token(file.read_text()), number) for number in range(2)]
    first, second = (worker.attempt() for worker in workers)
    liar, honest = workers
    liar.say(
        done(second.token, 666),
        done(second.token + 1000, 666),
        done(first.token - (1 << 32), 666),
        Handback((second.token, second.token + 1)),
        Track(second.token, params=(("taken", "in"),)),
    )
    time.sleep(0.5)
    liar.say(done(first.token, 2 * argument(first)))
    honest.say(done(second.token, 2 * argument(second)))
    said, _ = driver.communicate(timeout=60)
    for worker in workers:
        worker.channel.close()
    assert driver.returncode == 0, said
    assert "[2, 4]" in said
    shown = subprocess.run(
        [sys.executable, "-m", "headrace.cli", "show", "doubles/1"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "taken" not in shown.stdout
