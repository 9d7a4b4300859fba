from headrace import flow, step


@step
def hello() -> str:
    return "hello"


@flow
def main() -> str:
    return hello()


if __name__ == "__main__":
    print(main())
