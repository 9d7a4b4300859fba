"""What ``@pypi`` and ``@conda`` ask for, as requirements of PyPI."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.frontends.metaflow.authoring.packages import attach_packages, environment_of, is_too_old
from headrace.frontends.metaflow.exceptions import PackagesException

HERE = "{}.{}.{}".format(*sys.version_info[:3])


def flow(base: Any = None, **steps: Any) -> Any:
    """A flow class with a decorator, whose steps have those that are given as (name, attributes)."""
    from headrace import metaflow

    body = {}
    for name, decorators in {"start": [], "end": [], **steps}.items():

        def function(self: Any) -> None:
            self.next()

        function.__name__ = name
        made = metaflow.step(function)
        for decorator, attributes in decorators:
            made = getattr(metaflow, decorator)(**attributes)(made)
        body[name] = made
    made = type("Flow", (metaflow.FlowSpec,), {**body, "__module__": __name__})
    return made if base is None else getattr(metaflow, base[0])(**base[1])(made)


def environment(decorator: str, attributes: Any, base: Any = None) -> Any:
    cls = flow(base, start=[(decorator, attributes)])
    attach_packages(cls, "pypi")
    return environment_of(cls._steps["start"])


def packages(decorator: str, asked: Any, **more: Any) -> tuple[str, ...]:
    found = environment(decorator, {"packages": asked, **more}).packages
    assert found[0] == ("requests>=2.21.0" if "requests" not in asked else f"requests=={asked['requests']}")
    return tuple(found[1:])


@pytest.mark.parametrize(
    ("version", "said"),
    [
        *[
            ("1.2", "a==1.2"),
            ("", "a"),
            (">=1,<2", "a>=1,<2"),
            ("~=1.4", "a~=1.4"),
            ("!=3", "a!=3"),
            ("==1.2", "a==1.2"),
        ],
        ("@ git+https://x/y.git@v1", "a @ git+https://x/y.git@v1"),
    ],
)
def test_versions_of_pypi_are_those_of_pip(version: str, said: str) -> None:
    assert packages("pypi", {"a": version}) == (said,)


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        *[
            ("a", "1.2", "a==1.2"),
            ("a", "", "a"),
            ("a", "*", "a"),
            ("a", ">=1, <2", "a>=1,<2"),
            ("a", "1.2.*", "a==1.2.*"),
        ],
        *[("a", "=1.2", "a==1.2.*"), ("a", "==1.2", "a==1.2"), ("a", "=1.2.*", "a==1.2.*"), ("A", "~=1.4", "a~=1.4")],
        *[
            ("pytorch", "2.1", "torch==2.1"),
            ("matplotlib-base", ">3", "matplotlib>3"),
            ("python-graphviz", "", "graphviz"),
        ],
        ("librosa", "0.10", "librosa==0.10"),
    ],
)
def test_versions_of_conda_become_those_of_pip(name: str, version: str, said: str) -> None:
    assert packages("conda", {name: version}) == (said,)
    assert packages("conda", {}, libraries={name: version}) == (said,)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        *[("cudatoolkit", "11"), ("r-base", "4"), ("graphviz", "2"), ("libgdal", ""), ("bioconductor-x", "")],
        *[("conda-forge::numpy", "1"), ("numpy", "1.2=py39_0"), ("numpy", "1.2|1.3"), ("numpy", ">=1 build")],
    ],
)
def test_what_conda_alone_has_is_refused_by_name(name: str, version: str) -> None:
    with pytest.raises(PackagesException, match=f"@conda of step \\*start\\*: package \\*{name}\\* cannot be had"):
        environment("conda", {"packages": {name: version}})


@given(st.text(alphabet="0123456789.<>=!~*,|;@[] abc-\n", max_size=12))
def test_version_of_conda_is_refused_or_a_version_of_its_package_alone(version: str) -> None:
    try:
        (said,) = packages("conda", {"numpy": version})
    except PackagesException:
        return
    assert re.fullmatch(r"numpy((==|!=|<=?|>=?|~=)[\w.!+*-]+(,|$))*", said)


def test_what_a_step_asks_for_goes_before_what_its_flow_does() -> None:
    base = ("pypi_base", {"packages": {"a": "1", "b": "2"}, "python": "3.12"})
    found = environment("pypi", {"packages": {"b": "3", "requests": "2.30"}}, base)
    assert found.packages == ("requests==2.30", "a==1", "b==3")
    assert found.python == "3.12"
    assert environment("pypi", {"python": "3.10"}, base).python == "3.10"
    cls = flow(base)
    attach_packages(cls, "pypi")
    assert environment_of(cls._steps["end"]).packages == ("requests>=2.21.0", "a==1", "b==2")


def test_disabled_steps_have_no_environment() -> None:
    base = ("pypi_base", {"packages": {"a": "1"}, "disabled": True})
    assert environment("pypi", {"disabled": True, "packages": {"a": "1"}}) is None
    assert environment("pypi", {"disabled": "true"}) is None
    assert environment("pypi", {}, base) is None
    assert environment("pypi", {"disabled": False}, base) is not None


def test_steps_that_ask_for_nothing_have_no_environment() -> None:
    cls = flow()
    attach_packages(cls, "local")
    assert environment_of(cls._steps["start"]) is None and cls._steps["start"].decorators == []
    attach_packages(cls, "conda")
    assert [one.name for one in cls._steps["start"].decorators] == ["conda"]
    assert cls._steps["start"].decorators[0].attributes["python"] == HERE
    assert environment_of(cls._steps["start"]) is None


def test_packages_of_pypi_and_conda_exclude_each_other() -> None:
    cls = flow(start=[("pypi", {"packages": {"a": "1"}}), ("conda", {"packages": {"b": "1"}})])
    attach_packages(cls, "pypi")
    with pytest.raises(PackagesException, match="Mixing and matching PyPI packages and Conda packages"):
        environment_of(cls._steps["start"])


@pytest.mark.parametrize("asked", [["numpy"], {"numpy": [1]}, {1: "2"}, "numpy"])
def test_packages_that_are_no_dictionary_of_versions_are_refused(asked: Any) -> None:
    with pytest.raises(PackagesException, match="@pypi of step"):
        environment("pypi", {"packages": asked})
    with pytest.raises(PackagesException, match="@pypi"):
        environment("pypi", {}, ("pypi_base", {"packages": asked}))


def test_python_may_be_a_number() -> None:
    assert environment("pypi", {"python": 3.12}).python == "3.12"
    with pytest.raises(PackagesException, match="@pypi of step"):
        environment("pypi", {"python": ">=3.8"})


@pytest.mark.parametrize(
    ("asked", "too_old"),
    [
        ("3.9.10", True),
        ("2.7.15", True),
        ("3.9", True),
        ("3.10", False),
        ("3.13.1", False),
        (None, False),
        ("3", False),
    ],
)
def test_python_that_is_too_old_is_known(asked: str | None, too_old: bool) -> None:
    assert is_too_old(asked) is too_old
