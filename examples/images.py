"""Three images in one flow: Python packages of its own, R, and a program that is alone in its image.

    headrace run examples/images.py                  # by podman or docker, and uv, on this machine
    headrace run examples/images.py --on cluster     # the same in pods, see docs/howto/kubernetes.md

The image of the program is made by `podman build --tag localhost/total:1 examples/images/total`. In pods without a
package index the environment needs an image, too: `headrace image build examples/images.py` makes it. R_IMAGE and
TOTAL_IMAGE name other images; a driver in a cluster finds them among the `variables` of its place.
"""

from __future__ import annotations

import os

from headrace import Environment, command, flow, step

R = os.environ.get("R_IMAGE", "docker.io/library/r-base:4.4.1")
TOTAL = os.environ.get("TOTAL_IMAGE", "localhost/total:1")
OTHER = Environment(packages=["packaging==24.2"], python=os.environ.get("EXAMPLE_PYTHON", "3.12"))

trend = command(
    ["Rscript", "-e", "x <- scan('{numbers}', quiet = TRUE); cat(coef(lm(x ~ seq_along(x)))[[2]], file = '{slope}')"],
    inputs={"numbers": "text"},
    outputs={"slope": float},
    image=R,
    name="trend",
    cpu=0.05,
)
total = command(
    ["/total", "{numbers}", "{sum}"],
    inputs={"numbers": "text"},
    outputs={"sum": float},
    image=TOTAL,
    name="total",
    cpu=0.05,
)


@step(environment=OTHER, cpu=0.05)
def generate(count: int) -> tuple[str, str, str]:
    """Numbers as a text, and where they were made."""
    import platform

    import packaging

    numbers = " ".join(str(3 * one + 1) for one in range(count))
    return numbers, packaging.__version__, ".".join(platform.python_version_tuple()[:2])


@flow
def images(count: int = 10) -> str:
    """The slope and the sum of a few numbers, each from another image."""
    numbers, version, python = generate(count)
    slope, summed = trend.submit(numbers), total.submit(numbers)
    return f"packaging {version} on Python {python}: slope {slope.result():.3f}, sum {summed.result():g}"


if __name__ == "__main__":
    print(images())
