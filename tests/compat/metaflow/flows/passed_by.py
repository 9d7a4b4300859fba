from metaflow import FlowSpec, Parameter, step


class PassedBy(FlowSpec):
    """A switch passes a step by; resuming at that step runs what is behind it."""

    way = Parameter("way", default="left")

    @step
    def start(self):
        self.choice = self.way
        self.next({"left": self.left, "right": self.right}, condition="choice")

    @step
    def left(self):
        print("left")
        self.next(self.after)

    @step
    def right(self):
        self.next(self.farther)

    @step
    def farther(self):
        self.next(self.after)

    @step
    def after(self):
        print("after")
        self.next(self.end)

    @step
    def end(self):
        print("end")


if __name__ == "__main__":
    PassedBy()
