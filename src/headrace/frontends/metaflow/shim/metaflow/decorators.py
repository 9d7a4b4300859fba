"""Decorators of steps and flows, and what is wrong with them."""

from headrace.frontends.metaflow.authoring.decorators import Decorator
from headrace.frontends.metaflow.exceptions import (
    BadFlowDecoratorException,
    BadStepDecoratorException,
    DuplicateFlowDecoratorException,
    DuplicateStepDecoratorException,
    InvalidDecoratorAttribute,
    UnknownFlowDecoratorException,
    UnknownStepDecoratorException,
)

__all__ = [
    "BadFlowDecoratorException",
    "BadStepDecoratorException",
    "Decorator",
    "DuplicateFlowDecoratorException",
    "DuplicateStepDecoratorException",
    "InvalidDecoratorAttribute",
    "UnknownFlowDecoratorException",
    "UnknownStepDecoratorException",
]
