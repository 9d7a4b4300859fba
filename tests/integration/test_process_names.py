"""What a step sees of globals, attributes, closures and defaults: the values that they have when it is called.

Each case runs on workers that are forked from the flow, on fresh ones (the process has a thread), and isolated.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

_THREAD = "import threading; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
_KINDS = {
    "forked": ("", "@step"),
    "fresh": (_THREAD, "@step"),
    "isolated": ("", "@step(isolated=True)"),
    "fresh isolated": (_THREAD, "@step(isolated=True)"),
}

#: Names of other modules of the user, which the cases import.
_SETTINGS = """
RATE = 1
NAMES = ["a"]

class Config:
    lr = 1
    opts = {"depth": 1}

    @classmethod
    def describe(cls):
        return cls.lr, dict(cls.opts)

def clean(x):
    return x + RATE

def replaced(x):
    return -x

def names():
    return list(NAMES)

def counter(start):
    count = start
    def up(by=0):
        nonlocal count
        count += by
        return count
    return up

steps_made = counter(10)
"""

#: name -> (top of the file, body of the flow). The flow's result is compared with that of plain Python.
CASES = {
    "global bound anew": (
        "LIMIT = 1\nSTEP\ndef see(i):\n    return LIMIT\n",
        "global LIMIT\nout = [see(0)]\nLIMIT = 5\nout.append(see(1))\nLIMIT = 1\nout.append(see(2))\nreturn out",
    ),
    "set before the first step": (
        "DEBUG = False\nOPTS = {'a': 1}\nSTEP\ndef see(i):\n    return DEBUG, OPTS\n",
        "global DEBUG\nDEBUG = True\nOPTS['a'] = 2\nreturn see(0)",
    ),
    "list changed inside": (
        "SEEN = []\nSTEP\ndef see(i):\n    return list(SEEN)\n",
        "out = []\nfor i in range(3):\n    out.append(see(i))\n    SEEN.append(i)\nreturn out",
    ),
    "dictionary changed deep inside": (
        "CONFIG = {'model': {'lr': [0.1]}}\nSTEP\ndef see(i):\n    return CONFIG\n",
        "import copy\nout = [copy.deepcopy(see(0))]\nCONFIG['model']['lr'].append(0.5)\nout.append(see(1))\nreturn out",
    ),
    "attribute of an object without any": (
        "class Config:\n    lr = 1\ncfg = Config()\nSTEP\ndef see(i):\n    return cfg.lr\n",
        "out = [see(0)]\ncfg.lr = 5\nout.append(see(1))\ndel cfg.lr\nreturn out + [see(2)]",
    ),
    "attribute of an object without any, before the first step": (
        "import types\nclass Config:\n    lr = 1\ncfg = Config()\nspace = types.SimpleNamespace()\nSTEP\ndef see(i):\n"
        "    return cfg.lr, getattr(space, 'lr', 0)\n",
        "cfg.lr = 5\nspace.lr = 6\nreturn see(0)",
    ),
    "slot that is filled": (
        "class Config:\n    __slots__ = ('lr',)\ncfg = Config()\nSTEP\ndef see(i):\n    return getattr(cfg, 'lr', 0)\n",
        "out = [see(0)]\ncfg.lr = 5\nreturn out + [see(1)]",
    ),
    "object without attributes inside a dictionary": (
        "class Config:\n    lr = 1\nALL = {'a': [Config()]}\nSTEP\ndef see(i):\n    return ALL['a'][0].lr\n",
        "out = [see(0)]\nALL['a'][0].lr = 5\nreturn out + [see(1)]",
    ),
    "object of a bound method": (
        "class Config:\n    lr = 1\n    def get(self):\n        return self.lr\ncfg = Config()\nget = cfg.get\nSTEP\n"
        "def see(i):\n    return get()\n",
        "out = [see(0)]\ncfg.lr = 5\nreturn out + [see(1)]",
    ),
    "object of a bound method, which the step changes": (
        "class Config:\n    def __init__(self):\n        self.n = [1]\n    def get(self):\n        "
        "return list(self.n)\ncfg = Config()\nget = cfg.get\nSTEP\ndef see(i):\n    try:\n"
        "        return get(), len(cfg.n)\n    finally:\n        cfg.n.append(2) if i else cfg.n\n",
        "out = [see(0)]\ncfg.n.append(5)\nreturn out + [see(0), see(1)]",
    ),
    "bound method in a list": (
        "class Config:\n    lr = 1\n    def get(self):\n        return self.lr\n"
        "cfg = Config()\nHOOKS = [cfg.get]\nSTEP\ndef see(i):\n    return [one() for one in HOOKS]\n",
        "out = [see(0)]\ncfg.lr = 5\nreturn out + [see(1)]",
    ),
    "dictionary of a bound method": (
        "D = {'x': 1}\nget = D.get\nSTEP\ndef see(i):\n    return get('x')\n",
        "out = [see(0)]\nD['x'] = 5\nreturn out + [see(1)]",
    ),
    "arguments of a partial": (
        "import functools\nD = {'x': 1}\npart = functools.partial(lambda o: o['x'], D)\nSTEP\ndef see(i):\n"
        "    return part()\n",
        "out = [see(0)]\nD['x'] = 5\nreturn out + [see(1)]",
    ),
    "keywords and function of a partial": (
        "import functools\nclass Config:\n    lr = 1\n    def get(self, o):\n        return self.lr, list(o)\n"
        "cfg = Config()\nL = [1]\npart = functools.partial(cfg.get, o=L)\nSTEP\ndef see(i):\n    return part()\n",
        "out = [see(0)]\ncfg.lr = 5\nout.append(see(1))\nL.append(2)\nreturn out + [see(2)]",
    ),
    "set and bytearray": (
        "KEYS = {1}\nDATA = bytearray(b'a')\nSTEP\ndef see(i):\n    return sorted(KEYS), DATA.decode()\n",
        "out = [see(0)]\nKEYS.add(2)\nout.append(see(1))\nDATA[0] = 98\nout.append(see(2))\nreturn out",
    ),
    "instance changed": (
        "class Args:\n    def __init__(self): self.rate = 1\nARGS = Args()\nSTEP\ndef see(i):\n    return ARGS.rate\n",
        "out = [see(0)]\nARGS.rate = 2\nout.append(see(1))\nARGS.extra = Args()\nARGS.rate = 3\n"
        "out.append(see(2))\nreturn out",
    ),
    "dataclass and namespace": (
        "import types, dataclasses\n@dataclasses.dataclass\nclass Cfg:\n    lr: float = 1\n    names: list = None\n"
        "CFG = Cfg(1, [])\nNS = types.SimpleNamespace(a=1)\nSTEP\ndef see(i):\n"
        "    return CFG.lr, len(CFG.names), NS.a\n",
        "out = [see(0)]\nCFG.lr = 2\nCFG.names.append(1)\nout.append(see(1))\nNS.a = 7\nout.append(see(2))\nreturn out",
    ),
    "class attribute": (
        "class Config:\n    lr = 1\nSTEP\ndef see(i):\n    return Config.lr, getattr(Config, 'new', None)\n",
        "out = [see(0)]\nConfig.lr = 2\nout.append(see(1))\nConfig.new = 'x'\nout.append(see(2))\nreturn out",
    ),
    "attribute of a class by a method": (
        "from settings import Config\nSTEP\ndef see(i):\n    return Config.describe()\n",
        "out = [see(0)]\nConfig.lr = 3\nConfig.opts['depth'] = 9\nout.append(see(1))\nreturn out",
    ),
    "attribute of another module": (
        "import settings\nSTEP\ndef see(i):\n    return settings.RATE, settings.clean(10)\n",
        "out = [see(0)]\nsettings.RATE = 2\nout.append(see(1))\nreturn out",
    ),
    "another module behind a function": (
        "from settings import clean\nimport settings\nSTEP\ndef see(i):\n    return clean(10)\n",
        "settings.RATE = 5\nout = [see(0)]\nsettings.RATE = 6\nreturn out + [see(1)]",
    ),
    "one list under two names": (
        "from settings import NAMES, names\nSTEP\ndef see(i):\n    before = names()\n    NAMES.append('step')\n"
        "    return before, names()\n",
        "NAMES.append('flow')\nfirst = see(0)\nreturn first, see.__wrapped__(1) if False else first",
    ),
    "closure": (
        "",
        "offset = 3\nSTEP\ndef add(x):\n    return offset + x\nout = [add(0)]\noffset = 30\nreturn out + [add(1)]",
    ),
    "closure changed by nonlocal": (
        "",
        "total = 0\nSTEP\ndef see(i):\n    return total\ndef up():\n    nonlocal total\n    total += 10\n"
        "out = []\nfor i in range(3):\n    out.append(see(i))\n    up()\nreturn out",
    ),
    "closure over a list": (
        "",
        "rows = [1]\nSTEP\ndef see(i):\n    return list(rows)\nout = [see(0)]\nrows.append(2)\nreturn out + [see(1)]",
    ),
    "closure of a helper": (
        "from settings import steps_made\nSTEP\ndef see(i):\n    return steps_made()\n",
        "out = [see(0)]\nsteps_made(5)\nreturn out + [see(1)]",
    ),
    "closure and global together": (
        "LIMIT = 1\ndef limit():\n    return LIMIT\n",
        "global LIMIT\nn = 1\nSTEP\ndef see(i):\n    return n, limit(), LIMIT\nout = [see(0)]\nLIMIT = 2\n"
        "out.append(see(1))\nn = 2\nreturn out + [see(2)]",
    ),
    "step made by a factory at the top": (
        "def make(n):\n    STEP\n    def see(i):\n        return n\n    def set_n(v):\n        nonlocal n\n"
        "        n = v\n    return see, set_n\nsee, set_n = make(1)\n",
        "out = [see(0)]\nset_n(2)\nreturn out + [see(1)]",
    ),
    "defaults": (
        "def helper(x=1, *, y=[1]):\n    return x, list(y)\nSTEP\ndef see(i):\n    return helper()\n",
        "out = [see(0)]\nhelper.__defaults__ = (2,)\nout.append(see(1))\nhelper.__kwdefaults__['y'].append(2)\n"
        "return out + [see(2)]",
    ),
    "own function replaced": (
        "import settings\ndef score(x):\n    return x\ndef fast(x):\n    return 2 * x\nSTEP\ndef see(i):\n"
        "    return score(10), settings.clean(10)\n",
        "global score\nout = [see(0)]\nscore = fast\nsettings.clean = settings.replaced\nout.append(see(1))\n"
        "score = lambda x: 7 * x\nreturn out + [see(2)]",
    ),
    "method replaced": (
        "class Model:\n    def predict(self):\n        return 1\ndef other(self):\n    return 2\nSTEP\ndef see(i):\n"
        "    return Model().predict()\n",
        "out = [see(0)]\nModel.predict = other\nreturn out + [see(1)]",
    ),
    "function of a library replaced": (
        "import json\nSTEP\ndef see(i):\n    return json.dumps([i])\n",
        "out = [see(0)]\nold = json.dumps\ndef dumps(value):\n    return 'patched'\njson.dumps = dumps\n"
        "out.append(see(1))\njson.dumps = old\nreturn out + [see(2)]",
    ),
    "alternative constructor and partial": (
        "import functools\ndef base(x, k):\n    return x * k\nFN = functools.partial(base, k=1)\nSTEP\ndef see(i):\n"
        "    return FN(10)\n",
        "global FN\nout = [see(0)]\nFN = functools.partial(base, k=3)\nreturn out + [see(1)]",
    ),
    "object of a class in the file": (
        "class Point:\n    def __init__(self, x): self.x = x\nHOME = None\nSTEP\ndef see(i):\n"
        "    return None if HOME is None else (type(HOME) is Point, HOME.x)\n",
        "global HOME\nout = [see(0)]\nHOME = Point(4)\nreturn out + [see(1)]",
    ),
    "name that was not there": (
        "STEP\ndef see(i):\n    return LATER if i else 0\n",
        "global LATER\nout = [see(0)]\nLATER = 'now'\nreturn out + [see(1)]",
    ),
    "builtin hidden by a global": (
        "STEP\ndef see(i):\n    return len([1, 2])\n",
        "out = [see(0)]\nglobals()['len'] = lambda x: 99\nout.append(see(1))\ndel globals()['len']\n"
        "return out + [see(2)]",
    ),
    "array changed inside": (
        "import numpy as np\nW = np.zeros(3)\nBIG = np.zeros(100_000)\nSTEP\ndef see(i):\n"
        "    return W.tolist(), float(BIG.sum())\n",
        "global BIG\nout = [see(0)]\nW[1] = 5\nout.append(see(1))\nBIG[:] = 1\nout.append(see(2))\n"
        "BIG = BIG * 2\nreturn out + [see(3)]",
    ),
    "frame changed inside": (
        "import pandas as pd\nF = pd.DataFrame({'a': [1, 2]})\nSTEP\ndef see(i):\n    return F.to_dict('list')\n",
        "out = [see(0)]\nF['b'] = 3\nout.append(see(1))\nF.loc[0, 'a'] = 9\nreturn out + [see(2)]",
    ),
    "containers of the standard library": (
        "import argparse, collections, enum\nARGS = argparse.Namespace(x=1)\nD = collections.defaultdict(list)\n"
        "O = collections.OrderedDict(a=1)\nQ = collections.deque([1], maxlen=3)\nT = (1, [2])\n"
        "class Mode(enum.Enum):\n    A = 1\n    B = 2\nMODE = Mode.A\nSTEP\ndef see(i):\n"
        "    return ARGS.x, dict(D), list(O.items()), list(Q), list(T[1]), MODE.name\n",
        "global MODE\nout = [see(0)]\nARGS.x = 2\nD['k'].append(1)\nO['b'] = 2\nO.move_to_end('a')\nQ.append(5)\n"
        "T[1].append(9)\nMODE = Mode.B\nout.append(see(1))\nQ.popleft()\nreturn out + [see(2)]",
    ),
    "classes with bases, slots and a metaclass": (
        "class Meta(type):\n    @property\n    def v(cls): return cls._v\nclass K(metaclass=Meta):\n    _v = 1\n"
        "class Base:\n    tag = 'b'\nclass Sub(Base):\n    pass\nclass S:\n    __slots__ = ('a',)\n"
        "SLOT = S()\nSLOT.a = 1\n"
        "STEP\ndef see(i):\n    return K.v, Sub.tag, SLOT.a\n",
        "out = [see(0)]\nK._v = 2\nBase.tag = 'c'\nout.append(see(1))\nSLOT.a = 3\nreturn out + [see(2)]",
    ),
    "decorated helper": (
        "import functools\nEXTRA = 0\ndef decorate(f):\n    @functools.wraps(f)\n    def inner(*a):\n"
        "        return f(*a) + EXTRA\n    return inner\n@decorate\ndef helper(x):\n    return x\nSTEP\ndef see(i):\n"
        "    return helper(1)\n",
        "global EXTRA\nout = [see(0)]\nEXTRA = 10\nreturn out + [see(1)]",
    ),
    "map takes the values of its call": (
        "K = 1\nSTEP\ndef see(i):\n    return K * i\n",
        "global K\na = see.map([1, 2, 3])\nK = 10\nb = see.map([1, 2, 3])\nreturn headrace_results(a, b)",
    ),
    "submitted before a change, read after it": (
        "K = 1\nSTEP\ndef see(i):\n    return K\n",
        "global K\nout = []\nfor K in range(12):\n    out.append(see.submit(K))\nreturn headrace_results(out)",
    ),
}

_END = """
def headrace_results(*groups):
    return [[one.result() for one in group] for group in groups]

def main():
    BODY

flowed = flow(main)

if __name__ == "__main__":
    import json as j
    THREAD
    if sys.argv[1:] == ["plain"]:
        print(j.dumps(main()))
    else:
        print(j.dumps(flowed()))
"""


def _file(top: str, body: str, kind: str) -> str:
    thread, decorator = _KINDS[kind]
    end = _END.replace("BODY", body.replace("\n", "\n    ")).replace("THREAD", thread)
    lines = (top + end).split("\n")
    return "\n".join(line.replace("STEP", decorator) if line.strip() == "STEP" else line for line in lines)


def _answer(project: Project, *argv: str) -> object:
    done = project.finish(project.start("train.py", *argv))
    assert done.code == 0, done.err
    return json.loads(done.out)


@pytest.mark.parametrize("case", CASES)
def test_step_sees_the_values_of_its_call(project: Project, case: str) -> None:
    top, body = CASES[case]
    project.write(_SETTINGS, "settings.py")
    project.write(_file(top, body, "forked"))
    plain = _answer(project, "plain")
    assert _answer(project) == plain
    for kind in ("fresh", *(["isolated", "fresh isolated"] if len(case) % 3 == 0 else [])):
        project.write(_file(top, body, kind))
        assert _answer(project) == plain, kind
