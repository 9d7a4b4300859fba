"""``dsl.run_notebook``, which the source of a notebook component replaces by its own."""

from typing import Any


def run_notebook(**kwargs: Any) -> None:
    """Refuse: only a notebook component has a notebook to run.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("dsl.run_notebook is only available inside a @dsl.notebook_component at runtime.")
