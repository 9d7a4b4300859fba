from metaflow import USER_SKIP_STEP, FlowSpec, UserStepDecorator, current, user_step_decorator, step


@user_step_decorator
def announce(step_name, flow, inputs, attributes=None):
    print("before", step_name, inputs is None, attributes)
    flow.set_before = step_name
    yield
    print("after", step_name, getattr(flow, "made", None))
    flow.set_after = step_name


class Count(UserStepDecorator):
    def init(self, *args, **kwargs):
        self.by = kwargs.get("by", 1)

    def pre_step(self, step_name, flow, inputs=None):
        flow.count = getattr(flow, "count", 0) + self.by
        print("pre", step_name, flow.count)

    def post_step(self, step_name, flow, exception=None):
        print("post", step_name, type(exception).__name__)
        flow.seen = type(exception).__name__


class Swallow(UserStepDecorator):
    def post_step(self, step_name, flow, exception=None):
        print("swallow", type(exception).__name__)
        flow.swallowed = str(exception)
        return None


@user_step_decorator
def skipping(step_name, flow, inputs, attributes=None):
    flow.skipped = True
    yield {} if attributes else None


class Wrapped(FlowSpec):
    """Code of the user's before and after steps."""

    @announce
    @step
    def start(self):
        print("in start", self.set_before)
        self.made = 1
        self.next(self.middle)

    @Count(by=5)
    @announce
    @step
    def middle(self):
        print("in middle", self.count)
        self.made = 2
        self.next(self.a, self.b)

    @step
    def a(self):
        self.next(self.join)

    @Count
    @step
    def b(self):
        self.next(self.join)

    @announce
    @step
    def join(self, inputs):
        self.counts = sorted(one.count for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        print(self.counts, self.set_before, self.set_after, hasattr(self, "made"))


if __name__ == "__main__":
    Wrapped()
