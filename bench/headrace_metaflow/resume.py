# written by gen_chain.py 10 Resume
from metaflow import FlowSpec, step


class Resume(FlowSpec):
    @step
    def start(self):
        self.d = {"i": 0}
        self.next(self.s1)

    @step
    def s1(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s2)

    @step
    def s2(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s3)

    @step
    def s3(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s4)

    @step
    def s4(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s5)

    @step
    def s5(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s6)

    @step
    def s6(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s7)

    @step
    def s7(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s8)

    @step
    def s8(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.end)

    @step
    def end(self):
        self.d = {"i": self.d["i"] + 1}


if __name__ == "__main__":
    Resume()
