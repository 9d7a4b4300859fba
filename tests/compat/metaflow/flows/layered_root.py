from metaflow import FlowSpec, Parameter, retry, step


class LayeredRoot(FlowSpec):
    """Steps that others inherit."""

    rate = Parameter("rate", default=0.5, help="how fast")

    @step(start=True, node_info={"owner": "root"})
    def begin(self):
        """The first step.

        It has a second line.
        """
        self.next(self.fan)

    @retry(times=1)
    @step
    def fan(self):
        self.things = ["x", "a rather long text that is cut"]
        self.next(self.body, foreach="things")

    @step
    def body(self):
        self.next(self.left, self.right)

    @step
    def left(self):
        print(self)
        self.next(self.meet)

    @step
    def right(self):
        self.next(self.meet)
