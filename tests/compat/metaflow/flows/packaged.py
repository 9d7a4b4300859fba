import os

from metaflow import FlowSpec, conda, conda_base, pypi, pypi_base, step

KIND = os.environ.get("KIND", "pypi")
#: The decorator of the flow, and those of its first two steps.
KINDS = {
    "pypi": (None, [pypi(packages={"six": "1.16.0"}, python="3.11.7")], [pypi(disabled=True)]),
    "conda": (None, [conda(packages={"six": "1.16.0"})], [conda(disabled=True, libraries={"toolz": ">=0.12"})]),
    "pypi-base": (pypi_base(packages={"six": "1.16.0", "toolz": ""}, python="3.10"), [pypi(packages={"six": "1"})], []),
    "conda-base": (
        conda_base(libraries={"six": "1.16.0"}, packages={"toolz": ">0.1"}, disabled=True),
        [conda(packages={"six": "1.15"}, python="3.12.1", disabled=False)],
        [conda()],
    ),
    "both-bases": (lambda cls: pypi_base(packages={"a": "1"})(conda_base(packages={"b": "2"})(cls)), [], [pypi()]),
    "mixed": (None, [pypi(packages={"six": "1.16.0"}), conda(packages={"six": "1.16.0"})], []),
    "mixed-with-base": (conda_base(packages={"six": "1.16.0"}), [pypi()], []),
    "none": (None, [], []),
}
BASE, FIRST, SECOND = KINDS[KIND]


def all_of(decorators):
    def decorate(function):
        for one in decorators:
            function = one(function)
        return function

    return decorate


class Packaged(FlowSpec):
    @all_of(FIRST)
    @step
    def start(self):
        self.next(self.work)

    @all_of(SECOND)
    @step
    def work(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if BASE is not None:
    Packaged = BASE(Packaged)


if __name__ == "__main__":
    Packaged()
