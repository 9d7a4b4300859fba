from metaflow import Config, FlowSpec, environment, step


class ConfigMin(FlowSpec):
    """One config that is required, unpacked into a decorator."""

    cfg = Config("cfg", required=True)

    @environment(vars=cfg.env)
    @step
    def start(self):
        import os

        print(os.environ["COLOUR"], self.cfg.env["COLOUR"], self.cfg.size + 1)
        self.size = self.cfg.size
        self.next(self.end)

    @step
    def end(self):
        print(self.size)


if __name__ == "__main__":
    ConfigMin()
