import os

from metaflow import Config, FlowSpec, Parameter, config_expr, environment, resources, retry, step


def parse(text):
    return dict(line.split("=") for line in text.split())


class Configured(FlowSpec):
    """Configs: from files, values and parsers; used in decorators, parameters and steps."""

    cfg = Config("cfg", default="cfg.json")
    fallback = Config("fallback", default_value={"a": {"b": [1, 2]}, "n": 3})
    lines = Config("lines", default="lines.txt", parser=parse)
    plain = Config("plain", default_value='{"k": 1}', plain=True)
    optional = Config("optional", required=False)
    alpha = Parameter("alpha", default=config_expr("cfg.alpha"))
    beta = Parameter("beta", default=cfg.beta, type=int)

    @environment(vars={"FROM_CONFIG": config_expr("cfg.word"), "OTHER": cfg.word})
    @retry(times=cfg.times, minutes_between_retries=0)
    @step
    def start(self):
        print(os.environ["FROM_CONFIG"], os.environ["OTHER"], self.cfg.alpha, self.cfg["beta"], self.cfg.deep.er)
        print(self.fallback.a.b, self.fallback["n"], self.fallback.get("none", 1), dict(self.lines), self.optional)
        print(self.alpha, self.beta, type(self.cfg).__name__, self.plain)
        print(sorted(self.cfg.keys()), "alpha" in self.cfg, len(self.fallback))
        for change in (lambda: setattr(self.cfg, "alpha", 1), lambda: self.cfg.__setitem__("alpha", 1)):
            try:
                change()
            except Exception as error:
                print(type(error).__name__)
        try:
            self.cfg.nothing
        except Exception as error:
            print(type(error).__name__)
        self.items = list(self.fallback.a.b)
        self.next(self.work, foreach="items")

    @resources(**fallback.res) if False else resources(cpu=1)
    @step
    def work(self):
        self.got = self.input * int(self.lines.x)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.gots = [one.got for one in inputs]
        print(self.cfg.word)
        self.next(self.end)

    @step
    def end(self):
        print(self.gots, self.alpha, self.cfg.to_dict() if hasattr(self.cfg, "to_dict") else None)


if __name__ == "__main__":
    Configured()
