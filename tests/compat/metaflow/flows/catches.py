import os
import sys

import shapes
from metaflow import FlowSpec, catch, current, retry, step, timeout


class Catches(FlowSpec):
    """What @catch keeps, in many places."""

    @catch
    @step
    def start(self):
        self.before = 1
        print("start")
        raise ValueError("no variable")
        self.next(self.good)

    @catch(var="problem")
    @step
    def good(self):
        print(self.before)
        self.fine = 1
        self.next(self.custom)

    @catch(var="custom_problem", print_exception=False)
    @step
    def custom(self):
        print(self.problem)
        shapes.fail()
        self.next(self.chained)

    @catch(var="chain", print_exception=True)
    @step
    def chained(self):
        print(self.custom_problem.type, self.custom_problem.exception)
        print("Refused" in self.custom_problem.stacktrace, bool(self.custom_problem))
        try:
            {}["k"]
        except KeyError as error:
            raise TypeError("chained") from error
        self.next(self.second_try)

    @catch(var="second")
    @retry(times=2, minutes_between_retries=0)
    @step
    def second_try(self):
        print("attempt", current.retry_count)
        if current.retry_count < 1:
            self.lost = 1
            raise RuntimeError("first")
        self.attempt = current.retry_count
        self.next(self.never)

    @catch(var="last", print_exception=False)
    @retry(times=2, minutes_between_retries=0)
    @step
    def never(self):
        print(self.second, hasattr(self, "lost"), "attempt", current.retry_count)
        self.attempt = current.retry_count
        raise OSError(2, "gone")
        self.next(self.exits)

    @catch(var="left")
    @step
    def exits(self):
        print(self.last.type, self.last.exception, self.attempt)
        raise StopIteration(3)
        self.next(self.a, self.b)

    @step
    def a(self):
        self.next(self.join)

    @step
    def b(self):
        self.next(self.join)

    @catch(var="joined", print_exception=False)
    @step
    def join(self, inputs):
        self.value = 5
        print(inputs.a.left and inputs.a.left.type)
        raise LookupError("in join")
        self.next(self.late)

    @catch(var="timed", print_exception=False)
    @retry(times=1, minutes_between_retries=0)
    @timeout(seconds=1)
    @step
    def late(self):
        import time

        print(self.value, self.joined.type, current.retry_count)
        time.sleep(20)
        self.next(self.died)

    @catch(var="dead", print_exception=False)
    @retry(times=1, minutes_between_retries=0)
    @step
    def died(self):
        print(self.timed.type)
        print("attempt", current.retry_count)
        sys.stdout.flush()
        self.gone = 1
        os._exit(1)
        self.next(self.end)

    @catch(var="at_end", print_exception=False)
    @step
    def end(self):
        print(self.dead.type, hasattr(self, "gone"))
        raise ValueError("at the end")


if __name__ == "__main__":
    Catches()
