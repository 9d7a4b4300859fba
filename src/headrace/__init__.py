"""Headrace: machine learning as a flow, in plain Python."""

from headrace._version import __version__

__all__ = ["__version__"]
