import time

from metaflow import FlowSpec, Parameter, current, retry, step, timeout


class Late(FlowSpec):
    """A step that is too slow at its first attempt, or always."""

    slow = Parameter("slow", default=1)

    @timeout(minutes=1, seconds=30, hours=1)
    @step
    def start(self):
        self.next(self.work)

    @retry(times=1, minutes_between_retries=0)
    @timeout(seconds=1)
    @step
    def work(self):
        print("attempt", current.retry_count)
        self.reached = "before"
        if current.retry_count < self.slow:
            try:
                time.sleep(20)
            except Exception as error:
                print(type(error).__name__)
                raise
        self.reached = "after"
        self.next(self.end)

    @step
    def end(self):
        print(self.reached)


if __name__ == "__main__":
    Late()
