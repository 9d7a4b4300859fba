from metaflow import FlowSpec, Parameter, retry, step


class Top(FlowSpec):
    alpha = Parameter("alpha", default=1)
    shared = "top"

    @step
    def start(self):
        self.trail = ["top.start"]
        self.next(self.middle)

    @retry(times=1, minutes_between_retries=0)
    @step
    def middle(self):
        self.trail.append("top.middle")
        self.note()
        self.next(self.end)

    @step
    def end(self):
        print(self.trail, self.shared, self.left_only, self.right_only, self.alpha, self.beta, self.gamma)

    def note(self):
        self.trail.append("top.note")


class Left(Top):
    beta = Parameter("beta", default=2)
    left_only = "left"
    shared = "left"

    def note(self):
        super().note()
        self.trail.append("left.note")


class Right(Top):
    gamma = Parameter("gamma", default=3)
    right_only = "right"
    shared = "right"

    def note(self):
        super().note()
        self.trail.append("right.note")

    @step
    def middle(self):
        from metaflow import current

        self.trail.append("right.middle")
        self.note()
        if current.retry_count == 0 and self.gamma == 0:
            raise ValueError("once")
        self.next(self.end)


class Diamond(Left, Right):
    """A diamond of bases with parameters, constants and steps."""

    @step
    def start(self):
        self.trail = ["diamond.start"]
        self.next(self.middle)


if __name__ == "__main__":
    Diamond()
