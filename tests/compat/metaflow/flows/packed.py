import os

from metaflow import FlowMutator, FlowSpec, StepMutator, package_sources, step
from metaflow.packaging_sys import ContentType
from metaflow.plugins.package_suffixes_mutator import package_suffixes

HERE = os.path.dirname(os.path.abspath(__file__))
KIND = os.environ.get("KIND", "")
SOURCES = {
    "missing": ("nowhere",),
    "out": (("notes.txt", "../out.txt"),),
    "alone": ("notes.txt", "else/where.md"),
    "two": (["notes.txt", "conf.yaml"], "one/place"),
    "default": ("words.sorted",),
}.get(KIND, ([("notes.txt", "as/it.txt"), "conf.yaml"], None, [".txt"]))


class adds(FlowMutator):
    """Files of every kind."""

    def add_to_package(self):
        yield os.path.join(HERE, "notes.txt"), "kept/notes.txt", ContentType.USER_CONTENT
        yield os.path.join(HERE, "notes.txt"), "kept/notes.txt", ContentType.USER_CONTENT
        yield os.path.join(HERE, "notes.txt"), "plain.txt"
        yield os.path.join(HERE, "notes.txt"), "other.txt", ContentType.OTHER_CONTENT
        if KIND == "twice":
            yield os.path.join(HERE, "conf.yaml"), "kept/notes.txt", ContentType.USER_CONTENT


class step_adds(StepMutator):
    def add_to_package(self):
        yield os.path.join(HERE, "conf.yaml"), "step/conf.yaml", ContentType.USER_CONTENT


@adds
@package_suffixes("json, .cfg")
@package_sources(*SOURCES)
class Packed(FlowSpec):
    """Files that mutators add to the package."""

    @step_adds
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Packed()
