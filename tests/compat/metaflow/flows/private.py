from metaflow import FlowSpec, catch, parallel, step


class Private(FlowSpec):
    """Steps of all kinds, for the artifacts that Metaflow itself makes."""

    @step
    def start(self):
        self.count = 0
        print(self._current_step, self._graph_info["end_step"], self._foreach_stack)
        self.next(self.loop)

    @step
    def loop(self):
        self.count += 1
        self.again = "yes" if self.count < 3 else "no"
        self.next({"yes": self.loop, "no": self.fan}, condition="again")

    @step
    def fan(self):
        self.items = {"a": [1], "a rather long text that is cut somewhere": 2}.items()
        self.items = [*self.items, None, True, 1.5]
        self.next(self.each, foreach="items")

    @catch(var="oops", print_exception=False)
    @step
    def each(self):
        print(self._current_step, [frame[:4] for frame in self._foreach_stack])
        if self.index == 1:
            raise ValueError("odd")
        self.next(self.left, self.right)

    @step
    def left(self):
        self.next(self.meet)

    @step
    def right(self):
        self._mine = 1
        self.next(self.meet)

    @step
    def meet(self, inputs):
        self.next(self.gather)

    @step
    def gather(self, inputs):
        print([(one._task_ok, one._success, one._current_step) for one in inputs])
        self.next(self.two)

    @step
    def two(self):
        self.next(self.check, self.other)

    @catch(var="oops", print_exception=False)
    @step
    def check(self):
        raise ValueError("even")
        self.next(self.both)

    @step
    def other(self):
        self.next(self.both)

    @step
    def both(self, inputs):
        print(inputs.check._task_ok, inputs.check._success, inputs.check._exception, inputs.other._success)
        self.next(self.split)

    @step
    def split(self):
        self.next(self.gang, num_parallel=2)

    @parallel
    @step
    def gang(self):
        self.next(self.ungang)

    @step
    def ungang(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        raise ValueError("the last")


if __name__ == "__main__":
    Private()
