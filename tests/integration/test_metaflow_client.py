"""The Client API of the Metaflow dialect where it has more than the original: code, environment, other stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
    import helper_top
    from headrace.metaflow import FlowSpec, retry, step

    class Coded(FlowSpec):
        @step
        def start(self):
            import helper_inside
            self.word = helper_top.WORD + helper_inside.WORD
            self.next(self.end)

        @retry(times=1, minutes_between_retries=0)
        @step
        def end(self):
            pass

    if __name__ == "__main__":
        Coded()
"""
ASK = """
    import os
    from headrace.metaflow import Flow, Step, namespace
    namespace(None)
    run = Flow("Coded").latest_run
    code = run["start"].task.code
"""


def write_flow(project: Project) -> None:
    project.write("WORD = 'top'", "helper_top.py")
    project.write("WORD = 'inside'", "helper_inside.py")
    project.write("WORD = 'never'", "helper_never.py")


def test_code_holds_the_flow_and_what_it_imports_even_after_it_was_edited(project: Project) -> None:
    write_flow(project)
    project.succeed(FLOW, "run", name="coded.py", METAFLOW_USER="tester")
    project.write("print('edited')", "coded.py")

    out = project.succeed(
        ASK
        + """
    print(code.script_name, "helper_top.WORD" in code.flowspec, len(code.path), code)
    print(sorted(code.tarball.getnames()), code.info["script"], code.info["username"] != "")
    with code.extract() as folder:
        print(sorted(os.listdir(folder)), "edited" in open(os.path.join(folder, "coded.py")).read())
    print(os.path.exists(folder), run.code.path == code.path, run.code.info == code.info)
    """,
        name="ask.py",
        METAFLOW_USER="tester",
    )

    files = "'coded.py', 'helper_inside.py', 'helper_top.py'"
    assert out.splitlines() == [
        "coded.py True 64 <MetaflowCode: coded.py>",
        f"['INFO', {files}] coded.py True",
        f"[{files}] False",
        "False True True",
    ]


def test_environment_names_interpreter_and_packages(project: Project) -> None:
    write_flow(project)
    project.succeed(FLOW, "run", name="coded.py", METAFLOW_USER="tester")

    out = project.succeed(
        ASK
        + """
    info = run["start"].environment_info
    print(sorted(info), info["type"], "msgspec" in info["packages"], info == run["end"].task.environment_info)
    """,
        name="ask.py",
        METAFLOW_USER="tester",
    )

    assert out.split("\n")[0] == "['packages', 'platform', 'python', 'type'] local True True"


def test_metadata_chooses_the_store_of_another_folder(project: Project) -> None:
    write_flow(project)
    project.succeed(FLOW, "run", name="coded.py", METAFLOW_USER="tester")

    out = project.succeed(
        """
    import os
    from headrace.metaflow import Flow, default_metadata, get_metadata, metadata, namespace
    here = os.getcwd()
    os.mkdir("elsewhere")
    os.mkdir("elsewhere/.headrace")
    os.chdir("elsewhere")
    os.environ.pop("HEADRACE_HOME", None)
    namespace(None)
    try:
        Flow("Coded")
    except Exception as error:
        print(type(error).__name__)
    print(metadata("local@" + here) == get_metadata(), Flow("Coded").latest_run.successful)
    kept = Flow("Coded").latest_run
    print(default_metadata() != "local@" + here, kept["start"].task.data.word)
    try:
        metadata(here + "/nothing")
    except ValueError as error:
        print(error)
    """,
        name="ask.py",
        METAFLOW_USER="tester",
    )

    lines = out.splitlines()
    assert lines[:3] == ["MetaflowNotFound", "True True", "True topinside"]
    assert "Could not find directory .headrace" in lines[3]


ADDED = """
    from headrace.metaflow import FlowSpec, package_sources, step

    @package_sources([("words", "kept")], suffixes=".txt")
    class Added(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        Added()
"""


def test_code_holds_what_mutators_add_and_what_suffixes_ask_for(project: Project) -> None:
    for name, text in {"words/a.txt": "a", "words/b.csv": "b", "c.yaml": "c", "d.R": "d"}.items():
        (project.path / name).parent.mkdir(exist_ok=True)
        (project.path / name).write_text(text)
    project.succeed(ADDED, "run", name="added.py", METAFLOW_USER="tester")
    project.succeed(ADDED, "--package-suffixes", ".yaml", "run", name="added.py", METAFLOW_USER="tester")
    (project.path / "words/a.txt").write_text("edited")

    out = project.succeed(
        """
    from headrace.metaflow import Flow, namespace
    namespace(None)
    for run in Flow("Added"):
        print(sorted(run.code.tarball.getnames()), run.code.tarball.extractfile("kept/a.txt").read())
    """,
        name="ask.py",
        METAFLOW_USER="tester",
    )

    assert out.splitlines() == [
        "['INFO', 'added.py', 'c.yaml', 'kept/a.txt'] b'a'",
        "['INFO', 'added.py', 'kept/a.txt'] b'a'",
    ]
