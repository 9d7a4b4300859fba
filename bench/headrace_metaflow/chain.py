# written by gen_chain.py 50 Chain
from metaflow import FlowSpec, step


class Chain(FlowSpec):
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
        self.next(self.s9)

    @step
    def s9(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s10)

    @step
    def s10(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s11)

    @step
    def s11(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s12)

    @step
    def s12(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s13)

    @step
    def s13(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s14)

    @step
    def s14(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s15)

    @step
    def s15(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s16)

    @step
    def s16(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s17)

    @step
    def s17(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s18)

    @step
    def s18(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s19)

    @step
    def s19(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s20)

    @step
    def s20(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s21)

    @step
    def s21(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s22)

    @step
    def s22(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s23)

    @step
    def s23(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s24)

    @step
    def s24(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s25)

    @step
    def s25(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s26)

    @step
    def s26(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s27)

    @step
    def s27(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s28)

    @step
    def s28(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s29)

    @step
    def s29(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s30)

    @step
    def s30(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s31)

    @step
    def s31(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s32)

    @step
    def s32(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s33)

    @step
    def s33(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s34)

    @step
    def s34(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s35)

    @step
    def s35(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s36)

    @step
    def s36(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s37)

    @step
    def s37(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s38)

    @step
    def s38(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s39)

    @step
    def s39(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s40)

    @step
    def s40(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s41)

    @step
    def s41(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s42)

    @step
    def s42(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s43)

    @step
    def s43(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s44)

    @step
    def s44(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s45)

    @step
    def s45(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s46)

    @step
    def s46(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s47)

    @step
    def s47(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.s48)

    @step
    def s48(self):
        self.d = {"i": self.d["i"] + 1}
        self.next(self.end)

    @step
    def end(self):
        self.d = {"i": self.d["i"] + 1}


if __name__ == "__main__":
    Chain()
