import benchlib as b

from headrace import flow, step

load, fit, pick, evaluate = (step(f) for f in (b.load_digits_split, b.fit, b.pick, b.evaluate))


@flow
def main():
    data = load.submit()
    return evaluate.submit(pick.submit(fit.map(b.PARAMS, data=data)), data).result()


if __name__ == "__main__":
    print(main())
