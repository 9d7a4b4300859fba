"""A plain decorator in a file of its own."""

import functools


def outer(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        print("outer around", function.__name__)
        return function(*args, **kwargs)

    return wrapper
