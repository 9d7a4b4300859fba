"""A first attempt whose process dies, in one of several ways."""

import os
import signal
import sys

from metaflow import FlowSpec, Parameter, current, retry, step


class Dying(FlowSpec):
    how = Parameter("how", default="raise")

    @retry(times=1)
    @step
    def start(self):
        print("began", flush=True)
        sys.stderr.write("err: own line\n")
        sys.stderr.flush()
        if current.retry_count == 0:
            if self.how == "raise":
                raise ValueError("own words")
            if self.how == "segv":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.how == "null":
                __import__("ctypes").string_at(0)
            if self.how == "exit":
                os._exit(3)
            os.kill(os.getpid(), getattr(signal, self.how))
            signal.pause()
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Dying()
