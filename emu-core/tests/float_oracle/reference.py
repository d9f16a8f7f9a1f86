#!/usr/bin/env python3
"""Writes reference.txt: x87 functions of random arguments, correctly rounded in all four directions.

Needs mpmath. Each line: function, ST(1), ST(0), and the result to nearest, down, up and to zero, as ten bytes in hexadecimal.
Angles are reduced by the 66-bit value of pi that the processor has (SDM vol. 1, 8.3.8)."""

import random
from mpmath import mp, mpf, atan2, cos, expm1, floor, log, log1p, nint, sin, tan

BIAS, EXP_MIN = 16383, -16382
PI_66 = 0x3243F6A8885A308D3
random.seed(8087)


def number(negative, exponent, significand):
    value = mp.ldexp(mpf(significand), exponent - 63)
    return -value if negative else value


def spell(negative, exponent, significand):
    biased = exponent + BIAS if significand >> 63 else 0
    return f"{negative << 15 | biased:04x}{significand:016x}"


def rounded(value, how):
    """Of four hows: to nearest, down, up, to zero."""
    negative, magnitude = value < 0, abs(value)
    exponent = max(int(floor(mp.log(magnitude, 2))), EXP_MIN)
    while magnitude >= mp.ldexp(1, exponent + 1):
        exponent += 1
    while magnitude < mp.ldexp(1, exponent) and exponent > EXP_MIN:
        exponent -= 1
    units = mp.ldexp(magnitude, 63 - exponent)
    whole = int(floor(units))
    rest = units - whole
    away = [rest > 0.5 or rest == 0.5 and whole & 1, negative and rest > 0, not negative and rest > 0, False][how]
    whole += int(away)
    if whole >> 64:
        whole, exponent = whole >> 1, exponent + 1
    return spell(negative, exponent, whole)


def angle(x):
    """What is left of an angle, and quarter turns taken off."""
    quarter = mp.ldexp(mpf(PI_66), -65)
    turns = int(nint(x / quarter))
    return x - turns * quarter, turns % 4


def sine(x, more=0):
    rest, turns = angle(x)
    return [sin, cos, lambda r: -sin(r), lambda r: -cos(r)][(turns + more) % 4](rest)


def tangent(x):
    rest, turns = angle(x)
    return -1 / tan(rest) if turns & 1 else tan(rest)


def log2(x):
    """Of a power of two nothing but the exponent."""
    mantissa, exponent = mp.frexp(x)
    return mpf(exponent - 1) if mantissa == 0.5 else log(x) / mp.ln2


FUNCTIONS = {
    "f2xm1": lambda y, x: expm1(x * mp.ln2),
    "fyl2x": lambda y, x: y * log2(x),
    "fyl2xp1": lambda y, x: y * log1p(x) / mp.ln2,
    "fpatan": lambda y, x: atan2(y, x),
    "fsin": lambda y, x: sine(x),
    "fcos": lambda y, x: sine(x, 1),
    "fptan": lambda y, x: tangent(x),
}


def significand():
    low = random.choice([0, 1, (1 << 63) - 1, 1 << random.randrange(63), random.getrandbits(63)])
    return 1 << 63 | random.choice([low, random.getrandbits(63)])


def argument(low, high, positive=False):
    return (0 if positive else random.getrandbits(1), random.randint(low, high), significand())


def arguments(name, n):
    """ST(1) and ST(0); every ninth far out."""
    far = n % 9 == 0
    any_y = argument(-16000, 16000) if far else argument(-70, 70)
    if name == "f2xm1":
        return any_y, argument(-16382, -60) if far else argument(-40, -1)
    if name == "fyl2x":
        if n % 3 == 1:
            return any_y, (0, random.randint(-100, 100) or 1, 1 << 63)
        if n % 3 == 2:
            near = random.choice([(0, 1 << 63 | 1 << random.randrange(63)), (-1, (1 << 64) - (1 << random.randrange(63)))])
            return any_y, (0, *near)
        return argument(-70, 70), argument(-16382, 16383, positive=True)
    if name == "fyl2xp1":
        return argument(-70, 70), argument(-16000, -60) if far else argument(-40, -3)
    if name == "fpatan":
        return any_y, argument(-16000, 16000) if far else argument(-70, 70)
    return any_y, argument(-16382, -60) if far else argument(-4, random.choice([1, 8, 62]))


def line(name, n):
    while True:
        y, x = arguments(name, n)
        mp.prec = 500 + 3 * max(abs(y[1]), abs(x[1]))
        value = FUNCTIONS[name](number(*y), number(*x))
        if EXP_MIN + 70 < mp.log(abs(value), 2) < -EXP_MIN - 1:
            return " ".join([name, spell(*y), spell(*x), *(rounded(value, how) for how in range(4))])


with open("reference.txt", "w", encoding="ascii") as out:
    for function in FUNCTIONS:
        for number_of_line in range(72):
            out.write(line(function, number_of_line) + "\n")
