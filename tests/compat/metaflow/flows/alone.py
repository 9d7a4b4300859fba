"""Tasks that leave their process as nobody wants to find it. Each notes what it found; each is the first to come."""

import asyncio
import atexit
import contextvars
import decimal
import functools
import gc
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
import warnings

from metaflow import FlowSpec, step

random.seed(7)
SEEN = []
TABLE = {"tasks": 0}
COUNT = 0
VARIABLE = contextvars.ContextVar("variable", default=0)


class Helper:
    made = 0
    names = []


@functools.lru_cache(None)
def once(number):
    SEEN.append(number)
    return number


def found():
    yield "globals", (len(SEEN), dict(TABLE), COUNT)
    yield "helper", (Helper.made, len(Helper.names))
    yield "cached", once.cache_info().currsize
    yield "drawn", random.random()
    yield "variable", VARIABLE.get()
    yield "decimal", decimal.getcontext().prec
    yield "path", "/nowhere" in sys.path
    yield "arguments", "more" in sys.argv
    yield "limits", (sys.getrecursionlimit(), sys.get_int_max_str_digits())
    yield "filters", sum(one[2] is UserWarning for one in warnings.filters)
    yield "logging", (logging.root.level, len(logging.root.handlers), logging.root.manager.disable)
    yield "signals", [str(signal.getsignal(one)) for one in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM)]
    yield "blocked", len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    yield "hooks", (sys.excepthook is sys.__excepthook__, sys.gettrace(), sys.getprofile(), gc.isenabled())
    yield "socket", socket.getdefaulttimeout()
    yield "zone", time.tzname == ("UTC", "UTC")
    yield "threads", [one.name for one in threading.enumerate() if one.name == "mine"]
    yield "folder", os.path.basename(os.getcwd()) == "sub"
    yield "environment", "LEFT_BEHIND" in os.environ


def spoil():
    global COUNT
    COUNT += 1
    TABLE["tasks"] += 1
    SEEN.append(1)
    Helper.made += 1
    Helper.names.append("x")
    once(2)
    VARIABLE.set(5)
    decimal.getcontext().prec = 5
    sys.path.append("/nowhere")
    sys.argv.append("more")
    sys.setrecursionlimit(7777)
    sys.set_int_max_str_digits(1000)
    warnings.simplefilter("error", UserWarning)
    logging.basicConfig(level=logging.DEBUG)
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    sys.excepthook = print
    sys.setprofile(lambda *_: None)
    gc.disable()
    socket.setdefaulttimeout(3)
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    random.seed(5)
    threading.Thread(target=threading.Event().wait, name="mine", daemon=True).start()
    os.makedirs("sub", exist_ok=True)
    os.chdir("sub")
    os.environ["LEFT_BEHIND"] = "1"
    asyncio.set_event_loop(asyncio.new_event_loop())


class Alone(FlowSpec):
    @step
    def start(self):
        self.kinds = ["spoil", "spoil", "thread", "atexit", "interrupt", "look"]
        self.next(self.body, foreach="kinds")

    @step
    def body(self):
        self.found = dict(found())
        getattr(self, self.input)()
        self.next(self.join)

    def look(self):
        pass

    def spoil(self):
        spoil()

    def thread(self):
        def late():
            time.sleep(0.4)
            print("said late")
            with open("late.txt", "w") as file:
                file.write("x")

        threading.Thread(target=late).start()

    def atexit(self):
        atexit.register(print, "good bye")
        atexit.register(lambda: [][1])

    def interrupt(self):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")

    @step
    def join(self, inputs):
        self.found = inputs[0].found
        self.same = [one.found == self.found for one in inputs]
        self.late = os.path.exists("late.txt")
        self.next(self.end)

    @step
    def end(self):
        print(self.same, self.late)


if __name__ == "__main__":
    Alone()
