from __future__ import annotations

import os
import subprocess
import sys
import time

from headrace._base.process import owner_alive, process_owner, start_ticks

_SAY = "from headrace._base.process import process_owner; print(process_owner(), flush=True); input()"


def test_this_process_lives() -> None:
    assert owner_alive(process_owner()) is True
    assert process_owner() == process_owner()


def test_another_process_lives_until_it_ends() -> None:
    child = subprocess.Popen([sys.executable, "-c", _SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child:
        owner = child.stdout.readline().strip()
        assert owner.split(":")[1] == str(child.pid)
        assert owner_alive(owner) is True
        child.kill()
        deadline = time.monotonic() + 10
        while owner_alive(owner) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert owner_alive(owner) is False  # it was not waited for yet: a zombie owns nothing
    assert owner_alive(owner) is False
    assert start_ticks(child.pid) == ""


def test_a_fork_has_an_owner_of_its_own() -> None:
    before = process_owner()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, process_owner().encode())
        os._exit(0)
    os.close(write)
    child = os.read(read, 200).decode()
    os.close(read)
    os.waitpid(pid, 0)
    assert child != before
    assert child.split(":")[1] == str(pid)


def test_a_process_id_that_is_used_again_is_another_owner() -> None:
    host, pid, start = process_owner().split(":")
    ticks, _, realm = start.partition("-")
    assert owner_alive(f"{host}:{pid}:{int(ticks) - 1}-{realm}") is False


def test_owner_on_another_machine_is_not_known() -> None:
    host, pid, start = process_owner().split(":")
    ticks, _, realm = start.partition("-")
    for owner in (
        f"other-{host}:{pid}:{start}",
        f"{host}:{pid}:{ticks}-{realm}0",
        f"{host}:{pid}:-{realm}",
        "",
        "a:b:c:d",
    ):
        assert owner_alive(owner) is None
