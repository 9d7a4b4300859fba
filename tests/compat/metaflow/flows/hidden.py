import os

from metaflow import FlowSpec, environment, secrets, step


class Hidden(FlowSpec):
    """Environment variables and secrets are there in their own step only."""

    @environment(vars={"A": "from environment", "EMPTY": ""})
    @secrets(sources=[{"type": "inline", "id": "x", "options": {"env_vars": {"S1": "1"}}}])
    @step
    def start(self):
        print(os.environ["A"], repr(os.environ["EMPTY"]), os.environ["S1"])
        os.environ["LEAK"] = "leak"
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    @environment(vars={"A": "in work"})
    @step
    def work(self):
        print(os.environ["A"], os.environ.get("S1"), os.environ.get("LEAK"))
        self.next(self.join)

    @secrets(
        sources=[
            {"type": "inline", "id": "x", "options": {"env_vars": {"S2": "2"}}},
            {"type": "inline", "id": "x", "options": {"env_vars": {"S3": "3"}}},
        ]
    )
    @step
    def join(self, inputs):
        print(os.environ.get("A"), os.environ["S2"], os.environ["S3"])
        self.next(self.end)

    @step
    def end(self):
        print(os.environ.get("A"), os.environ.get("S2"))


if __name__ == "__main__":
    Hidden()
