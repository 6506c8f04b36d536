"""Symbols of the chemical elements."""

from . import ModelError

# By atomic number, from 1; the same 118 that umas.h knows.
SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy "
    "Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf "
    "Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()


def atomic_numbers(text):
    """Sorted atomic numbers of symbols as in "Si,O"; ValueError where one is wrong or repeated."""
    numbers = []
    for symbol in text.split(","):
        if symbol not in SYMBOLS:
            raise ValueError(f"{symbol!r} is not a chemical element")
        number = SYMBOLS.index(symbol) + 1
        if number in numbers:
            raise ValueError(f"{symbol} is there twice")
        numbers.append(number)
    return sorted(numbers)


def check_in_tables(numbers, elements):
    """Refuse atomic numbers beyond the rows of the element tables, 0 to elements - 1."""
    for number in numbers:
        if number >= elements:
            raise ModelError(
                f"element {SYMBOLS[number - 1]} is not in the model, which ends at "
                f"{SYMBOLS[elements - 2]}"
            )
