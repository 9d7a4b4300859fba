"""Steps with an interpreter and packages of their own, in one run with others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.interpreters import FOUND, OTHER, OURS

from headrace.services.environments.records import locks_of_run
from headrace.stores.artifacts.local import LocalStore

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

    from headrace.testing.proxy import HttpProxy

needs_other = pytest.mark.skipif(not OTHER, reason="there is one Python on this machine")

FLOW = """
    from headrace import Environment

    @step(environment=Environment(packages=["six=={version}"], python="{python}"), cache=True)
    def there(x):
        import six
        return {{"python": ".".join(map(str, sys.version_info[:2])), "six": six.__version__, "x": x}}

    @step
    def here(value):
        return value, ".".join(map(str, sys.version_info[:2]))

    @flow
    def main():
        import json
        print(json.dumps(here(there(1))))

    if __name__ == "__main__":
        main()
"""


def run(project: Project, version: str, python: str = OTHER) -> tuple[dict[str, object], str]:
    there, here = json.loads(project.succeed(FLOW.format(version=version, python=python)))
    return there, here


@needs_other
def test_step_runs_on_the_python_and_packages_of_its_environment(project: Project) -> None:
    there, here = run(project, "1.16.0")
    assert (there["python"], there["six"], there["x"]) == (OTHER, "1.16.0", 1)
    assert here == OURS


def test_environment_is_part_of_the_cache_key_of_its_steps_alone(project: Project) -> None:
    versions, tasks = [], []
    for version in ("1.16.0", "1.16.0", "1.17.0"):
        versions.append(run(project, version, OURS)[0]["six"])
        tasks.append({task.step: task for task in project.tasks()})
    first, again, other = tasks
    assert versions == ["1.16.0", "1.16.0", "1.17.0"]
    assert again["there"].reused_from == "main/1/there/1"
    assert not other["there"].reused_from
    assert first["there"].environment == again["there"].environment != other["there"].environment
    assert first["here"].environment == other["here"].environment != first["there"].environment


@needs_other
def test_function_without_a_module_is_refused_on_another_python(project: Project) -> None:
    error = project.fail(
        f"""
        from headrace import Environment

        @flow
        def main():
            @step(environment=Environment(python="{OTHER}"))
            def inner():
                return 1
            return inner()

        if __name__ == "__main__":
            main()
        """
    )
    assert "step 'inner'" in error and f"Python {OTHER}" in error and "top of a .py file" in error


def test_function_without_a_module_runs_where_the_interpreters_are_equal(project: Project) -> None:
    out = project.succeed(
        """
        from headrace import Environment

        @flow
        def main():
            base = 41
            @step(environment=Environment(packages=["six==1.16.0"]))
            def inner():
                import six
                return base + len(six.__version__.split(".")) - 2
            print(inner())

        if __name__ == "__main__":
            main()
        """
    )
    assert out.strip() == "42"


def test_conflict_is_told_in_the_words_of_the_resolver_with_the_name_of_the_step(project: Project) -> None:
    error = project.fail(
        """
        from headrace import Environment

        @step(environment=Environment(packages=["six==1.16.0", "six==1.17.0"]))
        def impossible():
            return 1

        @flow
        def main():
            return impossible()

        if __name__ == "__main__":
            main()
        """
    )
    assert "step 'impossible'" in error and "six==1.16.0" in error and "unsatisfiable" in error


@pytest.mark.parametrize("version", [one for one in FOUND if one != OTHER])
def test_every_interpreter_of_the_machine_runs_steps(project: Project, version: str) -> None:
    there, _ = run(project, "1.16.0", version)
    assert there["python"] == version


NAMED = """
[tool.headrace.environments.six16]
packages = ["six==1.16.0"]
variables = { COLOR = "blue" }
"""

DEFAULTS = """
    from headrace import Environment

    @step
    def version():
        import six
        return six.__version__, os.environ.get("COLOR")

    @flow(environment={flow})
    def main():
        print(*version(), *version.options(environment=Environment(packages=["six==1.15.0"]))())

    if __name__ == "__main__":
        main.main()
"""


def test_flow_gives_its_steps_an_environment_and_a_step_takes_its_own(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(NAMED)
    assert project.succeed(DEFAULTS.format(flow='"six16"')).split() == ["1.16.0", "blue", "1.15.0", "None"]


def test_command_line_names_the_environment_of_steps_that_have_none(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(NAMED)
    project.write(DEFAULTS.format(flow='Environment(packages=["six==1.17.0"])'))
    done = project.finish(project.start("-m", "headrace", "run", "--quiet", "--environment", "six16", "train.py"))
    assert done.out.split() == ["1.16.0", "blue", "1.15.0", "None"], done.err


def test_resume_keeps_the_environment_of_the_command_line(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(NAMED)
    project.write(
        """
        @step
        def version(mended):
            import six
            if not mended:
                raise ValueError("not yet")
            return six.__version__

        @flow
        def main():
            print(version(os.path.exists("mended")))
        """
    )
    assert headrace(project, "run", "--quiet", "--environment", "six16", "train.py").code == 1
    (project.path / "mended").touch()
    assert headrace(project, "resume", "main/1", "--quiet").out.strip() == "1.16.0"


def test_unknown_name_of_an_environment_is_refused_with_the_known_ones(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(NAMED)
    error = project.fail(DEFAULTS.format(flow='"seven"'))
    assert "there is no environment 'seven'" in error and "six16" in error


def test_unknown_environment_on_the_command_line_is_refused_before_the_run_begins(project: Project) -> None:
    """Also if no step would come to ask for it."""
    (project.path / "pyproject.toml").write_text(NAMED)
    project.write("@flow\ndef main():\n    pass\n")
    done = headrace(project, "run", "--environment", "seven", "train.py")
    assert done.code != 0 and "there is no environment 'seven'; there are: six16" in done.err
    assert not (project.home / "runs.db").exists()


def test_locks_are_kept_with_the_run(project: Project) -> None:
    run(project, "1.16.0", OURS)
    task = next(task for task in project.tasks() if task.step == "there")
    store = LocalStore(project.home / "artifacts")
    locks = locks_of_run(project.metadata, store, project.last().id, ["there", "here"])
    assert list(locks) == ["there"]
    lock = locks["there"][task.environment]
    assert lock.packages == (("six", "1.16.0"),) and lock.minor == sys.version_info[:2]
    assert "--hash=sha256:" in lock.requirements


def headrace(project: Project, *argv: str) -> Finished:
    return project.finish(project.start("-m", "headrace", *argv))


def test_show_explain_and_diff_tell_of_environments(project: Project) -> None:
    run(project, "1.16.0", OURS)
    run(project, "1.17.0", OURS)
    label = f"Python {OURS} with six==1.17.0"
    assert f"there runs in {label}" in headrace(project, "show", "main/2").out
    assert label in headrace(project, "show", "main/2/there/1").out
    explained = headrace(project, "explain", "main/2/there").out
    assert label in explained and "six 1.16.0 -> 1.17.0" in explained
    assert "environment of there: six 1.16.0 -> 1.17.0" in headrace(project, "diff", "main/1", "main/2").out
    between = headrace(project, "env", "diff", "main/1/here", "main/2/there").out
    assert "pytest" in between and "absent" in between, "a step of the run itself has what this process has"
    assert headrace(project, "env", "diff", "main/1/there", "main/2/there").out.strip() == "six 1.16.0 -> 1.17.0"


def test_env_commands_lock_build_list_show_and_remove(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(NAMED)
    assert "six16" in headrace(project, "env", "list").out
    assert "1 package" in headrace(project, "env", "lock", "six16").out
    folder = Path(headrace(project, "env", "build", "six16").out.split(": ")[1].strip())
    assert (folder / "bin" / "python").exists()
    shown = json.loads(headrace(project, "env", "show", "six16", "--json").out)
    assert shown["packages"] == {"six": "1.16.0"} and shown["folder"] == str(folder)
    (row,) = json.loads(headrace(project, "env", "list", "--json").out)
    assert row["name"] == "six16" and row["digest"] == shown["digest"] and row["size"] > 10_000
    assert "Removed six16" in headrace(project, "env", "rm", "six16").out
    assert not folder.exists()
    assert headrace(project, "env", "show", "nothing").code == 2


def test_env_lock_reads_the_environments_of_a_file_of_steps(project: Project) -> None:
    project.write(FLOW.format(version="1.16.0", python=OURS))
    assert "1 package" in headrace(project, "env", "lock", "train.py").out


def test_environment_in_use_is_not_removed(project: Project) -> None:
    project.write(
        """
        from headrace import Environment

        @step(environment=Environment(packages=["six==1.16.0"]))
        def waits():
            open("began", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.02)

        @flow
        def main():
            waits()

        if __name__ == "__main__":
            main()
        """
    )
    process = project.start("train.py")
    project.eventually((project.path / "began").exists, 60)
    refused = headrace(project, "env", "rm", "--unused", "0s")
    (project.path / "go").touch()
    assert project.finish(process).code == 0
    assert refused.code == 2 and "used by a running flow" in refused.err
    assert "1 environment" in headrace(project, "gc", "--older-than", "0s").out
    assert headrace(project, "gc", "--older-than", "0s", "--delete").code == 0
    assert json.loads(headrace(project, "env", "list", "--json").out) == []


@needs_other
def test_values_in_an_object_store_reach_steps_of_an_environment(
    project: Project, s3: tuple[HttpProxy, dict[str, str]]
) -> None:
    out = project.succeed(
        f"""
        from headrace import Environment

        @step(environment=Environment(python="{OTHER}"))
        def double(data):
            return data * 2

        @flow
        def main():
            print(len(double(b"x" * 100_000)))

        if __name__ == "__main__":
            main()
        """,
        **s3[1],
    )
    assert out.strip() == "200000"
