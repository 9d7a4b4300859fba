import os

from metaflow import FlowSpec, Parameter, catch, current, retry, step, timeout


class Failures(FlowSpec):
    """Retries, catches and timeouts."""

    @retry(times=2, minutes_between_retries=0)
    @step
    def start(self):
        self.tries = current.retry_count
        print("try", current.retry_count)
        if current.retry_count < 2:
            raise ValueError("again")
        self.items = [0, 1, 2]
        self.next(self.work, foreach="items")

    @catch(var="problem", print_exception=False)
    @retry(times=1, minutes_between_retries=0)
    @step
    def work(self):
        self.before = self.input
        print("work", self.input, current.retry_count)
        if self.input == 1:
            raise KeyError("one")
        self.after = True
        self.next(self.join)

    @step
    def join(self, inputs):
        for one in inputs:
            print(one.before, one.problem and (one.problem.type, one.problem.exception), hasattr(one, "after"))
        self.next(self.slow)

    @catch(var="late", print_exception=False)
    @timeout(seconds=1)
    @step
    def slow(self):
        import time

        self.began = True
        time.sleep(30)
        self.next(self.died)

    @catch(var="dead", print_exception=False)
    @step
    def died(self):
        print(self.late.type)
        self.lost = 1
        os._exit(3)
        self.next(self.end)

    @step
    def end(self):
        print(self.dead.type, hasattr(self, "lost"))


if __name__ == "__main__":
    Failures()
