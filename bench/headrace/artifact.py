"""A large value made by one step and consumed by another: the future hands it over, the driver never loads it."""

from benchlib import finish, produce

from headrace import flow, step


@step
def make():
    return produce()


@step
def total(x):
    return finish(x)


@flow
def main():
    return total.submit(make.submit()).result()


if __name__ == "__main__":
    print(main())
