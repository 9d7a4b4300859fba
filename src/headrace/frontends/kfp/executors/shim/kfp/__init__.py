"""The package ``kfp`` for code of components where the SDK is not installed: the names that it uses at run time."""

import importlib

#: The version whose names stand in here; components ask for it to know what they may use.
__version__ = "2.17.3"
TYPE_CHECK = True


def __getattr__(name: str) -> object:
    if name == "dsl":
        return importlib.import_module("kfp.dsl")
    raise AttributeError(
        f"module 'kfp' has no attribute {name!r}: the SDK is not installed where this component runs, and Headrace "
        "stands in for kfp.dsl alone; add 'kfp' to packages_to_install"
    )
