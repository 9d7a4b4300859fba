"""Values that go from an interpreter with some versions of packages to one with others, and back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.interpreters import FOUND

if TYPE_CHECKING:
    from tests.integration.conftest import Project

OLD = next((version for version in ("3.10", "3.11") if version in FOUND), "")
NEW = next((version for version in ("3.14", "3.13", "3.12") if version in FOUND), "")
pytestmark = pytest.mark.skipif(not (OLD and NEW), reason="needs an old and a new Python on this machine")

HEAD = f"""
    from dataclasses import dataclass
    from typing import Any, NamedTuple
    from headrace import Environment

    old = Environment(python="{OLD}", packages=["pandas==1.5.3", "numpy==1.23.5", "scikit-learn==1.2.2"])
    new = Environment(python="{NEW}", packages=["pandas>=3"])

    @dataclass
    class Fit:
        name: str
        weights: Any

    class Pair(NamedTuple):
        left: Any
        right: Any

    @step(environment=old)
    def in_old(value):
        return value, sys.version_info[:2]

    @step(environment=new)
    def in_new(value):
        return value, sys.version_info[:2]

    def through_all(value):
        for _ in range(2):
            value, python = in_old(value)
            assert ".".join(map(str, python)) == "{OLD}"
            value, python = in_new(value)
            assert ".".join(map(str, python)) == "{NEW}"
        return value
"""

VALUES = """
    @flow
    def main():
        import numpy as np
        import pandas as pd

        frame = pd.DataFrame({
            "f": [1.5, float("nan")], "i": [1, 2], "u": pd.array([1, 2], dtype="u1"), "b": [True, False],
            "s": ["a", None], "t": pd.to_datetime(["2024-01-01", None]).as_unit("ns"),
            "z": pd.to_datetime(["2024-01-01", "2024-07-01"]).tz_localize("Europe/Berlin").as_unit("ns"),
            "c": pd.Categorical(["x", "y"], ordered=True, categories=["y", "x", "z"]),
            "I": pd.array([1, None], dtype="Int64"), "B": pd.array([True, None], dtype="boolean"),
            "S": pd.array(["a", None], dtype="string[python]"),
        }, index=pd.Index(["p", "q"], name="key"))
        frame["i2"] = [3, 4]
        pd.testing.assert_frame_equal(through_all(frame), frame)
        hourly = pd.Series(np.arange(5.0), index=pd.date_range("2024", periods=5, freq="h", unit="ns"), name="x")
        pd.testing.assert_series_equal(through_all(hourly), hourly)
        multi = pd.DataFrame({"a": range(4)}, index=pd.MultiIndex.from_product([["x", "y"], [1, 2]], names=["k", None]))
        pd.testing.assert_frame_equal(through_all(multi), multi)

        array = np.arange(100_000.0).reshape(100, 1000)
        assert np.array_equal(through_all(array), array)
        nested = {"array": array, "times": np.array(["2024-01-01"], "M8[s]"), "objects": np.array(["a", None], object),
                  "scalar": np.float64(1.5)}
        back = through_all(nested)
        assert np.array_equal(back["array"], array) and back["times"] == nested["times"], back
        assert list(back["objects"]) == ["a", None] and back["scalar"] == 1.5

        plain = {"text": "x" * 100_000, "numbers": [1, 2.5, None], "bytes": b"abc", "tuple": (1, {2}, frozenset([3]))}
        assert through_all(plain) == plain
        assert through_all(Fit("model", [1, 2])) == Fit("model", [1, 2])
        assert through_all(Pair(1, Fit("x", None))) == Pair(1, Fit("x", None))
        fit = through_all(Fit("frame", frame))
        pd.testing.assert_frame_equal(fit.weights, frame)
        with open("data.bin", "wb") as file:
            file.write(b"z" * 1_000_000)
        assert through_all(headrace.File("data.bin")).path.read_bytes() == b"z" * 1_000_000
        print("all came back")

    if __name__ == "__main__":
        main()
"""


def test_values_come_back_unchanged_from_other_pythons_and_pandas(project: Project) -> None:
    done = project.run(HEAD + VALUES, timeout=300)
    assert done.code == 0, done.err
    assert done.out.strip() == "all came back"


UNREADABLE = """
    @step(environment=old)
    def fit():
        from sklearn.ensemble import RandomForestClassifier
        return RandomForestClassifier(3, random_state=0).fit([[0], [1]], [0, 1])

    @step(environment=new)
    def score(model):
        return model.predict([[1]])

    @flow
    def main():
        return score.submit(fit.submit()).result()

    if __name__ == "__main__":
        main()
"""


def test_pickle_that_cannot_be_read_elsewhere_names_the_versions_of_both_sides(project: Project) -> None:
    done = project.run(HEAD + UNREADABLE, timeout=300)
    assert done.code == 1
    assert "sklearn 1.2.2" in done.err and f"python {OLD}" in done.err, done.err
    assert "no sklearn" in done.err and f"python {NEW}" in done.err, done.err


BY_VALUE = """
    @step(environment=old)
    def apply(function):
        return function(1)

    @flow
    def main():
        return apply(lambda number: number + 1)

    if __name__ == "__main__":
        main()
"""


@pytest.mark.skipif(sys.version_info[:2] == (3, 10), reason="both would have the same Python")
def test_code_inside_of_a_value_is_not_loaded_by_another_python(project: Project) -> None:
    done = project.run(HEAD + BY_VALUE, timeout=300)
    assert done.code == 1
    assert "code of another Python" in done.err and f"python {OLD}" in done.err, done.err
