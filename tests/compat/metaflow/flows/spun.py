import os

from metaflow import Config, FlowSpec, Parameter, card, catch, current, environment, parallel, retry, step, timeout
from metaflow import user_step_decorator


@user_step_decorator
def framed(step_name, flow, inputs, attributes=None):
    print("before", step_name)
    yield
    print("after", step_name)


class Spun(FlowSpec):
    """Steps of all kinds, to be run again one by one."""

    limits = Config("limits", default_value={"low": 1})
    alpha = Parameter("alpha", default=3)
    must = Parameter("must", type=int, required=True)
    const = [7]

    @step
    def start(self):
        self.items = [1, 2, 3]
        self.word = "made by start"
        print("start", self.alpha, self.must, self.const, self.limits.low)
        self.next(self.work, foreach="items")

    @environment(vars={"SPUN_VARIABLE": "set"})
    @retry(times=2, minutes_between_retries=0)
    @catch(var="problem")
    @framed
    @step
    def work(self):
        print("work", self.input, self.index, self.word, os.environ.get("SPUN_VARIABLE"), current.retry_count)
        print(current.flow_name, current.step_name, current.origin_run_id, current.pathspec.split("/")[2])
        if os.path.exists("break-work"):
            raise ValueError("broken")
        self.product = self.input * self.alpha
        self.next(self.join)

    @step
    def join(self, inputs):
        self.products = sorted(one.product for one in inputs)
        print("join", self.products, sorted(one.word for one in inputs), self.alpha)
        self.merge_artifacts(inputs, include=["word"])
        self.next(self.fork)

    @step
    def fork(self):
        self.next(self.left, self.right)

    @card
    @timeout(seconds=30)
    @step
    def left(self):
        self.side = "left"
        self.next(self.both)

    @step
    def right(self):
        self.side = "right"
        self.next(self.both)

    @step
    def both(self, inputs):
        self.sides = [inputs.left.side, inputs.right.side]
        print("both", self.sides, self.must)
        try:
            self.must = 4
        except AttributeError:
            print("cannot be set")
        self.merge_artifacts(inputs, exclude=["side"])
        self.next(self.gangs)

    @step
    def gangs(self):
        self.next(self.gang, num_parallel=2)

    @parallel
    @step
    def gang(self):
        self.node = current.parallel.node_index
        self.next(self.after)

    @step
    def after(self, inputs):
        self.nodes = sorted(one.node for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        self.products = None if os.path.exists("break-work") else "no products here"
        print("end", self.nodes, getattr(self, "unheard", "absent"))


if __name__ == "__main__":
    Spun()
