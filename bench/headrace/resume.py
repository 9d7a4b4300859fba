"""Ten steps; the second time `headrace resume` (see peer.json) finds all of them recorded."""

from headrace import flow, step


@step
def add(d: dict[str, int]) -> dict[str, int]:
    return {"i": d["i"] + 1}


@flow
def ten(n: int = 10) -> dict[str, int]:
    d = {"i": 0}
    for _ in range(n):
        d = add(d)
    return d


if __name__ == "__main__":
    print(ten())
