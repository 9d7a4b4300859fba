import os
import sys

from metaflow import FlowSpec, Parameter, current, retry, step


class Tries(FlowSpec):
    """Fails in several ways, up to so many times."""

    how = Parameter("how", default="raise")
    fails = Parameter("fails", default=2)

    @step
    def start(self):
        self.kept = 1
        self.next(self.work)

    @retry(times=3, minutes_between_retries=0)
    @step
    def work(self):
        self.attempt = current.retry_count
        print("attempt", current.retry_count, hasattr(self, "from_before"))
        print("err: attempt", current.retry_count, file=sys.stderr)
        if current.retry_count < self.fails:
            self.from_before = current.retry_count
            if self.how == "raise":
                raise ValueError("attempt", current.retry_count)
            if self.how == "die":
                sys.stdout.flush()
                os._exit(9)
            if self.how == "kill":
                sys.stdout.flush()
                os.kill(os.getpid(), 9)
            if self.how == "exit":
                sys.exit(4)
            if self.how == "exit0":
                sys.exit(0)
            if self.how == "text":
                sys.exit("text")
            if self.how == "lock":
                self.lock = open(os.devnull)
            if self.how == "nonext":
                return
            if self.how == "interrupt":
                raise KeyboardInterrupt
        self.next(self.end)

    @step
    def end(self):
        print(self.attempt, hasattr(self, "from_before"))


if __name__ == "__main__":
    Tries()
