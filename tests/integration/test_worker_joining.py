"""Who may join a driver, who is refused and how, and what a broken connection means for both sides."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.instructions import instructions

from headrace._version import __version__
from headrace.executors.remote import executor as remote
from headrace.executors.remote.executor import RemoteExecutor, RemoteOptions
from headrace.model import handshake
from headrace.model.attempts import LOG_LIMIT
from headrace.model.code import CodePackage
from headrace.model.handshake import PROTOCOL, Continued, Hello, Refused, Welcome
from headrace.model.messages import Done, Failed, Heartbeat, Stop, frame, framed, raw_frames
from headrace.model.values import Blob
from headrace.model.workers import ServedRun
from headrace.stores.artifacts.local import LocalStore
from headrace.testing.executors import Talk, double, ends, gone, hire, nap, pid
from headrace.testing.proxy import Proxy
from headrace.testing.suite_steps import flood, say_after
from headrace.worker.channel import Channel
from headrace.worker.join_token import JoinToken, identity_of, worker_context

IDENTITY = identity_of("a secret of the tests")
HELLO = Hello(
    protocol=PROTOCOL, headrace=__version__, python=remote.VERSIONS.python, secret=IDENTITY.token.secret, owner="o"
)
SILENCE = 8.0


TALKS: list[Talk] = []


@pytest.fixture(autouse=True)
def _links_are_closed() -> Iterator[None]:
    yield
    while TALKS:
        TALKS.pop().link.close()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[RemoteExecutor]:
    driver = make_driver(tmp_path)
    yield driver
    driver.close()


def make_driver(
    folder: Path, key: str = "1@0", adopt: float = 1.0, log_limit: int = LOG_LIMIT, silence: float = SILENCE
) -> RemoteExecutor:
    store = LocalStore(str(folder / "artifacts"))
    options = RemoteOptions(heartbeat=silence / 5, silence=silence, adopt=adopt)
    driver = RemoteExecutor("far", ("127.0.0.1", 0), IDENTITY, options)
    driver.start()
    code = store.put([CodePackage(()).encode()])
    driver.introduce(ServedRun("flow/1", key, 1, code, store.url, log_limit=log_limit))
    return driver


def talk_to(driver: RemoteExecutor) -> Talk:
    talk = Talk(driver, hire(driver))
    TALKS.append(talk)
    return talk


def answer_of(talk: Talk, driver: RemoteExecutor, seconds: float = 60.0) -> Done | Failed:
    """The end of an attempt, while the driver lets workers join."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not talk.heard and select.select([driver, talk.link], [], [], 1.0)[0]:
            assert driver.exits() == []
            talk.heard += talk.link.receive() or ()
        while talk.heard:
            if isinstance(message := talk.heard.pop(0), Done | Failed):
                return message
    raise AssertionError("the attempt does not end")


def serve(driver: RemoteExecutor, seconds: float = 0.05) -> None:
    if select.select([driver], [], [], seconds)[0]:
        driver.exits()


class Peer:
    """A peer that connects to a driver and speaks its protocol by hand."""

    def __init__(self, driver: RemoteExecutor) -> None:
        self.driver = driver
        self.channel = Channel(socket.create_connection(driver.address), worker_context(), server=False)
        self.frames = raw_frames()
        self.heard: list[bytes] = []
        self.channel.start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def say(self, data: bytes) -> None:
        self.channel.send(data)

    def hear(self, seconds: float = 10.0) -> bytes | None:
        """The next body; None when the driver closed the connection."""
        deadline = time.monotonic() + seconds
        while not self.heard:
            assert time.monotonic() < deadline, "the driver says nothing"
            serve(self.driver)
            self.heard += self.frames.feed(self.channel.receive())
            if self.channel.closed and not self.heard:
                return None
        return self.heard.pop(0)

    def answer(self) -> Welcome | Refused | None:
        body = self.hear()
        return None if body is None else handshake.read_answer(body)


def start_worker(
    address: tuple[str, int], folder: Path, token: JoinToken = IDENTITY.token, *more: str
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "headrace.cli", "worker", "--connect", f"{address[0]}:{address[1]}"]
    file = folder / "token"
    file.write_text(token.write() + "\n")
    command += ["--secret-file", str(file), "--workers", "1", "--root", str(folder / "root"), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def end_of(worker: subprocess.Popen[str], driver: RemoteExecutor, seconds: float = 30.0) -> tuple[int, str]:
    deadline = time.monotonic() + seconds
    while worker.poll() is None:
        assert time.monotonic() < deadline, "the worker does not end"
        serve(driver)
    assert worker.stderr is not None
    return worker.returncode, worker.stderr.read()


@contextlib.contextmanager
def ended(worker: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.terminate()
        worker.communicate(timeout=30)


# --- strangers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "logged", "told"),
    [
        ({"protocol": 7}, "speaks worker protocol 7", "install headrace=="),
        ({"headrace": "9.9.0"}, "runs Headrace '9.9.0'", "install headrace=="),
        ({"python": "3.4.1"}, "runs Python '3.4.1'", "start the worker with Python"),
        ({"secret": b"another"}, "has a wrong secret", "the joining token"),
    ],
    ids=["protocol", "headrace", "python", "secret"],
)
def test_peer_that_does_not_fit_is_told_why_and_closed_with_one_line(driver, caplog, change, logged, told) -> None:
    with Peer(driver) as peer:
        peer.say(framed(handshake.write(msgspec.structs.replace(HELLO, **change))))
        answer = peer.answer()
        assert isinstance(answer, Refused)
        assert told in answer.reason
        assert peer.hear() is None
    assert [record.getMessage() for record in caplog.records if logged in record.getMessage()] == caplog.messages
    [line] = caplog.messages
    assert line.startswith("the connection of 127.0.0.1:")
    assert f" to place far was closed, because it {logged}" in line
    assert driver.capacity.resources.cpu == 0


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01" + bytes(600),
        os.urandom(5000),
    ],
    ids=["http", "broken", "random"],
)
def test_stranger_without_tls_is_closed_with_one_line(driver, caplog, data) -> None:
    with socket.create_connection(driver.address) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(0.05)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            serve(driver)
            with contextlib.suppress(TimeoutError, ConnectionError):
                if not sock.recv(4096):
                    break
                continue
            if caplog.messages:
                break
    assert len(caplog.messages) == 1, caplog.messages
    assert "TLS" in caplog.text or "left before" in caplog.text


@pytest.mark.parametrize(
    "data",
    [framed(b"\xff" * 50), (5000).to_bytes(4, "little") + bytes(5000), frame(Heartbeat())],
    ids=["no message", "too long", "no Hello"],
)
def test_stranger_that_sends_garbage_is_closed_with_one_line_and_told_nothing(driver, caplog, data) -> None:
    with Peer(driver) as peer:
        peer.say(data)
        assert peer.hear() is None
    assert len(caplog.messages) == 1


def test_stranger_that_says_nothing_is_closed(driver, caplog, monkeypatch) -> None:
    monkeypatch.setattr(remote, "HELLO_SECONDS", 0.5)
    with Peer(driver) as peer:
        assert peer.hear() is None
    assert "did not say who it is within 0.5 s" in caplog.text


def test_strangers_are_bounded_and_workers_still_join(driver, monkeypatch) -> None:
    monkeypatch.setattr(remote, "_STRANGERS", 8)
    crowd = [socket.create_connection(driver.address) for _ in range(30)]
    serve(driver)
    with Peer(driver) as peer:
        peer.say(framed(handshake.write(HELLO)))
        assert isinstance(peer.answer(), Welcome)
    for one in crowd:
        one.close()


# --- the worker's side of it ------------------------------------------------------------------------------------


def test_worker_with_a_wrong_secret_says_what_to_do_and_ends(driver, tmp_path) -> None:
    with ended(start_worker(driver.address, tmp_path, IDENTITY.token._replace(secret=bytes(32)))) as worker:
        code, said = end_of(worker, driver)
    assert code == 1
    assert said.count("\n") == 1
    assert "refused this worker: wrong secret; give this worker the joining token" in said


def test_worker_shows_its_secret_to_its_driver_only(driver, tmp_path) -> None:
    other = identity_of("another secret of the tests").token
    with ended(start_worker(driver.address, tmp_path, other)) as worker:
        code, said = end_of(worker, driver)
    assert code == 1
    assert "is not the driver that this joining token is for" in said


def test_worker_whose_driver_speaks_another_protocol_says_what_to_install(driver, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(handshake, "PROTOCOL", 2)
    with ended(start_worker(driver.address, tmp_path)) as worker:
        code, said = end_of(worker, driver)
    assert code == 1
    assert f"install headrace=={__version__} where the worker runs" in said


def test_worker_that_cannot_reach_the_artifacts_says_so(tmp_path) -> None:
    driver = RemoteExecutor("far", ("127.0.0.1", 0), IDENTITY, RemoteOptions())
    driver.start()
    driver.introduce(ServedRun("f/1", "1@0", 1, Blob(bytes(32), 1), "/no/where"))
    with ended(start_worker(driver.address, tmp_path)) as worker:
        code, said = end_of(worker, driver)
    assert code == 2
    assert "the artifacts of f/1 are in /no/where, which this worker cannot use: there is no such folder here" in said
    driver.close()


def test_worker_waits_for_a_driver_and_says_so_once(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    worker = start_worker(address, tmp_path)
    time.sleep(2.5)
    assert worker.poll() is None
    worker.terminate()
    _, said = worker.communicate(timeout=20)
    assert said.count("no driver at") == 1, said


def test_worker_that_serves_once_says_that_its_run_is_over(driver, tmp_path) -> None:
    with ended(start_worker(driver.address, tmp_path, IDENTITY.token, "--once")) as worker:
        talk = talk_to(driver)
        assert talk.call(double, 4) == 8
        driver.close()
        _, said = worker.communicate(timeout=60)
        assert said.splitlines()[-1] == "headrace worker: flow/1 is over", said
        assert "is gone" not in said


# --- output -----------------------------------------------------------------------------------------------------


def test_output_over_the_limit_of_a_log_does_not_cross_the_network(tmp_path) -> None:
    limit = 100_000
    driver = make_driver(tmp_path, log_limit=limit)
    with ended(start_worker(driver.address, tmp_path)):
        talk = talk_to(driver)
        assert talk.call(double, 4) == 8
        peer = talk.link.peer
        for n in range(2):  # the limit is that of an attempt
            before = peer.channel.taken
            talk.begin(flood, 20, "")
            done = talk.answer(60)
            assert isinstance(done, Done)
            end = done.usage.log_ends[0]
            assert end == (n + 1) * (20 << 20)
            assert talk.link.log_end(0) > end - (20 << 20) + limit, "the driver knows that there is more"
            assert talk.link.read_log(0, end - (20 << 20), end) == b"flood..\n" * (limit // 8)
            assert limit < peer.channel.taken - before < 2 * limit
        before = peer.channel.taken
        talk.begin(flood, 20, "why it died")
        (died,) = ends(driver)
        assert died.code == -signal.SIGSEGV
        assert peer.channel.taken - before < 2 * limit
        end = talk.link.log_end(0)
        assert end == (60 << 20) + len("why it died")
        assert talk.link.read_log(0, end - 100, end).endswith(b"flood..\nwhy it died")
    driver.close()


# --- broken connections -----------------------------------------------------------------------------------------


def test_both_sides_notice_a_half_open_connection(driver, tmp_path) -> None:
    with Proxy(driver.address) as proxy, ended(start_worker(proxy.address, tmp_path)) as worker:
        talk = talk_to(driver)
        assert talk.call(double, 4) == 8
        talk.begin(nap, 60.0)
        proxy.silent = True
        began = time.monotonic()
        (lost,) = ends(driver)
        assert time.monotonic() - began < SILENCE + 20  # not as long as its nap
        assert f"has not been heard of for {SILENCE:g} s" in lost.lost
        assert worker.stderr is not None
        line = read_until(worker, "the driver has not been heard of")
        assert f"for {SILENCE:g} s" in line
        proxy.silent = False


def test_worker_that_comes_back_after_it_was_written_off_is_told_so(driver, tmp_path) -> None:
    with Proxy(driver.address) as proxy, ended(start_worker(proxy.address, tmp_path)) as worker:
        talk = talk_to(driver)
        assert talk.call(double, 4) == 8
        token = talk.begin(nap, 1.0)
        time.sleep(0.3)
        proxy.refusing = True
        proxy.cut()
        (lost,) = ends(driver)
        assert "broke" in lost.lost
        time.sleep(1.5)  # the attempt ends meanwhile
        proxy.refusing = False
        again = talk_to(driver)
        assert again.call(double, 21) == 42
        assert token not in {getattr(one, "token", None) for one in again.heard}
        assert "1 attempt in hand had been given up" in read_until(worker, "in hand", driver=driver)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[RemoteExecutor]:
    """A driver that waits for workers whose connections broke."""
    driver = make_driver(tmp_path, adopt=120.0)
    yield driver
    driver.close()


def test_attempt_goes_on_when_its_connection_broke_for_some_seconds(patient, tmp_path) -> None:
    with Proxy(patient.address) as proxy, ended(start_worker(proxy.address, tmp_path)) as worker:
        talk = talk_to(patient)
        process = talk.call(pid)
        token = talk.begin(say_after, 3.0, "printed while nobody listened")
        time.sleep(0.3)
        proxy.refusing = True
        assert proxy.cut() >= 1
        read_until(worker, "no driver at")
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:  # the attempt ends meanwhile
            serve(patient)
        assert patient.exits() == []
        proxy.refusing = False
        done = answer_of(talk, patient)
        assert isinstance(done, Done)
        assert done.token == token
        assert talk.link.read_log(0, 0, talk.link.log_end(0)) == b"printed while nobody listened"
        assert talk.call(pid) == process, "it is another process"
        assert patient.exits() == []


def test_messages_arrive_once_however_often_the_connection_breaks(patient, tmp_path) -> None:
    with Proxy(patient.address) as proxy, ended(start_worker(proxy.address, tmp_path)):
        talk = talk_to(patient)
        assert talk.call(double, 1) == 2
        expected = []
        answers = []
        for n in range(6):
            proxy.cut_after_request = 5000 + 700 * n
            proxy.cut_after_answer = 5000 + 900 * n
            expected += [talk.begin(double, n) for _ in range(100)]
            answers += [answer_of(talk, patient) for _ in range(100)]
        assert [one.token for one in answers if isinstance(one, Done)] == expected
        assert proxy.accepted >= 5, "too few connections were cut"
        assert patient.exits() == []


def test_worker_that_waited_idle_is_replaced_when_its_connection_breaks(patient, tmp_path) -> None:
    with Proxy(patient.address) as proxy, ended(start_worker(proxy.address, tmp_path)):
        talk = talk_to(patient)
        assert talk.call(double, 4) == 8
        proxy.refusing = True  # else the worker may be back before the driver looks
        proxy.cut()
        (lost,) = ends(patient)
        proxy.refusing = False
        assert "broke" in lost.lost
        assert talk_to(patient).call(double, 21) == 42


def test_attempt_whose_worker_is_away_is_stopped_at_once(patient, tmp_path) -> None:
    with Proxy(patient.address) as proxy, ended(start_worker(proxy.address, tmp_path)) as worker:
        talk = talk_to(patient)
        process = int(str(talk.call(pid)))
        talk.begin(nap, 120.0)
        time.sleep(0.3)
        proxy.refusing = True
        proxy.cut()
        read_until(worker, "no driver at")
        serve(patient, 1.0)
        talk.link.receive()
        began = time.monotonic()
        patient.stop(talk.link, 5.0)
        ends(patient)
        assert time.monotonic() - began < 60  # not as long as its nap
        proxy.refusing = False
        assert talk_to(patient).call(double, 21) == 42
        assert gone(process)


def test_worker_whose_attempt_is_stopped_stays_joined(driver, tmp_path) -> None:
    with ended(start_worker(driver.address, tmp_path)):
        seen, addresses = set(), set()
        for n in range(5):
            talk = talk_to(driver)
            assert talk.call(double, n) == 2 * n
            seen.add(talk.call(pid))
            addresses.add(talk.link.peer.address)
            talk.begin(nap, 120.0)
            driver.stop(talk.link, 5.0)
            (stopped,) = ends(driver)
            assert (stopped.code, stopped.lost) == (-signal.SIGTERM, "")
        assert len(seen) == 5
        assert len(addresses) <= 2, "one for the worker, and one that is kept beside it"


def test_worker_of_isolated_steps_keeps_its_connection(driver, tmp_path) -> None:
    with ended(start_worker(driver.address, tmp_path)):
        seen, addresses = set(), set()
        for _ in range(5):
            talk = Talk(driver, hire(driver, isolated=True))
            TALKS.append(talk)
            seen.add(talk.call(pid))
            addresses.add(talk.link.peer.address)
            talk.send(Stop())
            assert ends(driver)[0].code == 0
        assert len(seen) == 5
        assert len(addresses) <= 2, "one for the worker, and one that is kept beside it"


@pytest.mark.parametrize("received", [0, 3])
def test_worker_that_goes_on_with_another_session_or_with_nothing_is_welcomed_anew(driver, received) -> None:
    for continued in (Continued("another", received), Continued("1@0#1", received)):
        with Peer(driver) as peer:
            peer.say(framed(handshake.write(msgspec.structs.replace(HELLO, worker="w", continued=continued))))
            answer = peer.answer()
            assert isinstance(answer, Welcome)
            assert answer.received == -1


def test_worker_that_goes_on_from_messages_that_were_never_sent_is_refused(driver, caplog) -> None:
    hello = msgspec.structs.replace(HELLO, worker="w")
    with Peer(driver) as peer, Peer(driver) as liar:
        peer.say(framed(handshake.write(hello)))
        assert isinstance(peer.answer(), Welcome)
        talk = talk_to(driver)
        talk.begin(nap, 60.0)
        lie = Continued("1@0#1", 1 << 40)
        liar.say(framed(handshake.write(msgspec.structs.replace(hello, continued=lie))))
        while liar.hear(30) is not None:
            pass
        assert "acknowledges 1099511627776 messages" in caplog.text
        assert not talk.link.over, "the connection that it had is not concerned"


def test_worker_that_acknowledges_what_was_never_said_is_given_up(driver, caplog) -> None:
    with Peer(driver) as peer:
        peer.say(framed(handshake.write(HELLO)))
        assert isinstance(peer.answer(), Welcome)
        peer.say(frame(Heartbeat(received=7)))
        assert peer.hear(30) is None
    assert "acknowledges 7 messages of 0" in caplog.text


def test_look_at_workers_that_need_nothing_costs_the_same_with_many(tmp_path) -> None:
    with contextlib.closing(make_driver(tmp_path, silence=1e6)) as driver, contextlib.ExitStack() as stack:

        def cost_with(workers: int) -> int:
            for number in range(workers):
                peer = stack.enter_context(Peer(driver))
                peer.say(framed(handshake.write(msgspec.structs.replace(HELLO, owner=f"host-{workers}-{number}"))))
                assert isinstance(peer.answer(), Welcome)
            return min(instructions(lambda: driver._look(time.monotonic())) for _ in range(3))

        few = cost_with(3)
        assert cost_with(24) < 1.2 * few


def test_two_drivers_with_one_secret_are_served_by_who_connected_to_them(tmp_path) -> None:
    drivers = [make_driver(tmp_path / str(n), f"s{n}") for n in range(2)]
    folders = [tmp_path / f"w{n}" for n in range(2)]
    for folder in folders:
        folder.mkdir()
    with contextlib.ExitStack() as stack:
        for driver, folder in zip(drivers, folders, strict=True):
            stack.enter_context(ended(start_worker(driver.address, folder)))
            stack.callback(driver.close)
        talks = [talk_to(driver) for driver in drivers]
        for n, talk in enumerate(talks):
            assert talk.call(double, n) == 2 * n
        cwd = [os.readlink(f"/proc/{talk.link.where[1]}/cwd") for talk in talks]
        assert cwd == [str(folder / "root") for folder in folders]


def test_worker_host_that_is_killed_is_noticed_at_once(driver, tmp_path) -> None:
    with ended(start_worker(driver.address, tmp_path)) as worker:
        talk = talk_to(driver)
        assert talk.call(double, 4) == 8
        talk.begin(nap, 60.0)
        process = talk.link.where[1]
        worker.send_signal(signal.SIGKILL)
        (lost,) = ends(driver)
        assert "broke" in lost.lost
        deadline = time.monotonic() + 10
        while Path(f"/proc/{process}").exists():
            assert time.monotonic() < deadline, "its worker outlives it"
            time.sleep(0.05)


def read_until(
    worker: subprocess.Popen[str], text: str, seconds: float = 30.0, driver: RemoteExecutor | None = None
) -> str:
    assert worker.stderr is not None
    said = b""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if driver is not None:  # which has to answer before the worker can say it
            serve(driver)
        if select.select([worker.stderr], [], [], 0.5 if driver is None else 0.0)[0]:
            said += os.read(worker.stderr.fileno(), 1 << 16)
            for line in said.decode().splitlines():
                if text in line:
                    return line
    raise AssertionError(f"the worker does not say {text!r}, but {said!r}")


@pytest.mark.parametrize(("listen", "own"), [("::", "127.0.0.1"), ("::", "::1"), ("0.0.0.0", "127.0.0.1")])
def test_driver_that_listens_at_all_addresses_is_joined_by_either_family(listen: str, own: str) -> None:
    if own == "::1":
        try:
            socket.create_server((own, 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")
    executor = RemoteExecutor("far", (listen, 0), identity_of("a secret of the tests"), RemoteOptions())
    executor.start()
    with contextlib.closing(executor), socket.create_connection((own, executor.address[1])):
        executor.exits()
        [peer] = executor._peers.values()
        assert peer.address.rpartition(":")[0] == own
