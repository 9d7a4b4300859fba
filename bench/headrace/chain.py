"""The driver sees every result, so each step is durable before the next one starts."""

from benchlib import CHAIN, mark

from headrace import flow, step


@step
def add(d: dict[str, int]) -> dict[str, int]:
    return {"i": d["i"] + 1}


@flow
def main(n: int = CHAIN) -> dict[str, int]:
    mark("begin")
    d = {"i": 0}
    for _ in range(n):
        d = add(d)
    mark("end")
    return d


if __name__ == "__main__":
    assert main() == {"i": CHAIN}
