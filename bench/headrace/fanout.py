from benchlib import FANOUT, mark

from headrace import flow, step


@step
def work(x: int) -> int:
    return x


@step
def join(xs: list[int]) -> int:
    return sum(xs)


@flow
def main(n: int = FANOUT) -> int:
    mark("begin")
    total = join.submit(work.map(range(n))).result()
    mark("end")
    return total


if __name__ == "__main__":
    assert main() == FANOUT * (FANOUT - 1) // 2
