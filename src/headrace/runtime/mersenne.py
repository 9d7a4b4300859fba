"""Tells whether a Mersenne Twister was seeded with a given number or text, from its state alone.

A generator without a seed takes 624 words from the system; a given seed has a few, which initialization uses in turn.
Initialization can be computed backwards: the words that come out repeat if the seed was short. Drawing numbers is
undone before, a round of 624 numbers at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

_N, _M = 624, 397
_WORD = 0xFFFFFFFF
#: A seed of more words is taken for one of the system.
_LONGEST_SEED = 300
#: How many rounds are searched for seeds of any length, and for seeds of one or two words.
_ROUNDS_FOR_ANY = 20

_LOW_BITS = int.from_bytes(b"\x01\0\0\0" * _N, "little")
_EVEN = _LOW_BITS * (_WORD - 1)
_UPPER = _LOW_BITS << 31
_LOWER = _LOW_BITS * 0x7FFFFFFF
_HEAD = (1 << 32 * 10) - 1
_FIRST = (1 << 32 * (_N - _M)) - 1  # lanes 0 to 226, which are mixed with words of the round before


def is_seeded(words: Sequence[int], position: int, rounds: int) -> bool:
    """Whether a generator with this state was given a seed, at most ``rounds`` rounds of numbers ago.

    ``position`` is the place of the next word; a generator that has made no number yet stands at 624.
    """
    state = int.from_bytes(b"".join([word.to_bytes(4, "little") for word in words]), "little")
    for past in range(rounds + 1):
        if past:
            state = _round_before(state)
        elif position < _N:
            continue
        if _is_initial(state, past < _ROUNDS_FOR_ANY):
            return True
    return False


def _round_before(state: int) -> int:
    """The state before the last 624 words were made. All lanes at once.

    The lower bits of word 0 are those of a state that was made by a round: of the first state they are not known.
    """
    # Of the new words, those from 227 on were mixed with new words, the others with old ones, which are found first.
    later = _unmixed(state ^ (state << 32 * (_N - _M))) & ~_FIRST
    old = (later & _UPPER) | ((later << 32) & _LOWER)
    first = _unmixed((state & _FIRST) ^ (old >> 32 * _M)) & _FIRST
    both = first | later
    before = (both & _UPPER) | ((both << 32) & _LOWER)
    last = ((before >> 32 * 623) ^ (before >> 32 * 396)) & _WORD  # mixed with the lower bits of word 0
    return before | (_unmixed(last) & 0x7FFFFFFF)


def _unmixed(mixed: int) -> int:
    odd = (mixed >> 31) & _LOW_BITS
    return (((mixed ^ (odd * 0x9908B0DF)) << 1) & _EVEN) | odd


def _is_initial(state: int, any_length: bool) -> bool:
    head = state & _HEAD
    first = [(head >> 32 * i) & _WORD for i in range(10)]
    if all(first[i] == (1812433253 * (first[i - 1] ^ (first[i - 1] >> 30)) + i) & _WORD for i in (2, 3, 4)):
        return True  # numpy's, of one number
    if not first[0] >> 31:
        return False
    sample = _seed_words(first, 4, 9)
    if sample[0] == sample[2] == sample[4]:
        return True
    if not any_length:
        return False
    words = [word & _WORD for word in memoryview(state.to_bytes(4 * _N, "little")).cast("I")]
    found = _seed_words(words, 4, _N)
    return any(
        found[0] == found[length] and found[: len(found) - length] == found[length:]
        for length in range(1, _LONGEST_SEED + 1)
    )


_start = [19650218]
for _i in range(1, _N):
    _start.append((1812433253 * (_start[-1] ^ (_start[-1] >> 30)) + _i) & _WORD)


def _seed_words(words: Sequence[int], begin: int, end: int) -> list[int]:
    """The words of the seed that went into the places from ``begin`` to ``end``, each with its place in the seed added.

    Initialization goes over ``_start`` twice, mixing in the neighbour before: first it adds the seed, over and over,
    then it subtracts the number of the place.
    """
    mixed = [
        ((words[i] + i) & _WORD) ^ (((words[i - 1] ^ (words[i - 1] >> 30)) * 1566083941) & _WORD)
        for i in range(begin - 1, end)
    ]
    return [
        (mixed[k] - (_start[i] ^ (((mixed[k - 1] ^ (mixed[k - 1] >> 30)) * 1664525) & _WORD))) & _WORD
        for k, i in enumerate(range(begin, end), 1)
    ]
