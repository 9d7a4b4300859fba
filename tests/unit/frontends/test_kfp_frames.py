"""Which commands are those of lightweight Python components, and what they install."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.frontends.kfp.executors.frame import python_function

from .kfp_parts import HAS_PIP, OWN, PIP, RUN, lightweight

SOURCE = "def f() -> int:\n    return 1\n"
VENV = (
    '\nexport PIP_DISABLE_PIP_VERSION_CHECK=1\ntmp=$(mktemp -d)\npython3 -m venv "$tmp/venv" --system-site-packages\n'
    '. "$tmp/venv/bin/activate"\n '
)


def read(install: str = ""):
    container = lightweight(SOURCE, "f", install)
    return python_function(tuple(container["command"]), tuple(container["args"]))


def test_component_without_packages_is_recognised():
    found = read()
    assert found is not None
    assert found.function == "f"
    assert found.source.endswith(SOURCE)
    assert found.packages == ()


def test_sdk_itself_is_not_a_package_of_the_component():
    assert read(PIP + OWN).packages == ()


@pytest.mark.parametrize(
    "install",
    [
        f"{PIP}'numpy' 'pandas==2.2; python_version<\"4\"'  &&  {PIP}{OWN}",
        f"{PIP}{OWN} && {PIP}'numpy' 'pandas==2.2; python_version<\"4\"'",  # older than 2.14
        f"{PIP}'numpy' 'pandas==2.2; python_version<\"4\"'  &&  {VENV}{PIP}{OWN}",
        f"{PIP}'numpy' 'pandas==2.2; python_version<\"4\"'",  # install_kfp_package=False
    ],
)
def test_packages_are_read_from_the_install_command(install):
    assert read(install).packages == ("numpy", 'pandas==2.2; python_version<"4"')


def test_kfp_that_the_user_asks_for_is_a_package():
    assert read(f"{PIP}'kfp==2.9.0'").packages == ("kfp==2.9.0",)


def test_indexes_and_trusted_hosts_are_read_once():
    options = "--index-url https://a/s --extra-index-url https://b/s --trusted-host h "
    found = read(f"{PIP}{options}'numpy'  &&  {PIP}{options}{OWN}")
    assert (found.packages, found.indexes, found.trusted) == (("numpy",), ("https://a/s", "https://b/s"), ("h",))


@pytest.mark.parametrize(
    "change",
    [
        lambda command, args: (["bash", *command[1:]], args),
        lambda command, args: ([*command[:2], command[2] + "rm -rf /\n", command[3]], args),
        lambda command, args: (["sh", "-c", 'echo hello && "$0" "$@"', *command], args),
        lambda command, args: (["sh", "-c", f'{HAS_PIP}{PIP}--target x numpy && "$0" "$@"\n', *command], args),
        lambda command, args: (["sh", "-c", f'{HAS_PIP}{PIP}\'numpy && "$0" "$@"\n', *command], args),
        lambda command, args: (command, [*args, "--more", "x"]),
        lambda command, args: (command, ["--executor_input", "{}", "--function_to_execute", "f"]),
        lambda command, args: (["python3", "-m", "kfp.dsl.executor_main"], args),
        lambda command, args: ([], args),
    ],
)
def test_command_that_differs_in_anything_is_not_recognised(change):
    container = lightweight(SOURCE, "f")
    command, args = change(container["command"], container["args"])
    assert python_function(tuple(command), tuple(args)) is None


@given(st.lists(st.text(), max_size=8), st.lists(st.text(), max_size=5))
def test_reading_a_command_never_fails(command, args):
    assert python_function(tuple(command), tuple(args)) is None


@given(st.text())
def test_install_command_of_any_text_is_read_or_refused(text):
    found = python_function(("sh", "-c", text, "sh", "-ec", RUN, SOURCE), tuple(lightweight(SOURCE, "f")["args"]))
    assert found is None or found.source == SOURCE
