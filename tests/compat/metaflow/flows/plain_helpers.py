"""A plain decorator in a file of its own."""

import functools


def outer(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        print("outer around", function.__name__)
        return function(*args, **kwargs)

    return wrapper


class Table:
    """As a table of pandas: its length counts rows, its items are its columns."""

    def __init__(self, columns):
        self.columns = columns

    def __len__(self):
        return len(self.columns[0])

    def __iter__(self):
        return iter(self.columns)

    def __getitem__(self, index):
        return self.columns[index]
