"""Sizes: numbers, or expressions over names that the model's inputs bind.

An expression is a polynomial with integer coefficients. Its variables, called atoms,
are names and what no polynomial says: quotients, remainders, minima and maxima.
Terms are expanded, collected and sorted, so that equal polynomials compare equal.
Quotients and remainders round down, as Python's do; expressions assume that no divisor
is 0, as the operators that divide refuse it.

TVM has arithmetic of its own, but its expressions neither hash nor compare by value,
and loading it takes a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from keyword import iskeyword
from math import gcd, prod
from typing import TypeAlias

from toolchain.spec import SpecError

# The greatest size that a tensor may have along an axis.
LARGEST = (1 << 31) - 1


@dataclass(frozen=True)
class Atom:
    """A name, or an operation ("//", "%", "min", "max") on sizes.

    bounds: its least and greatest value.
    """

    name: str
    arguments: tuple[Size, ...] = ()
    bounds: tuple[int, int] = field(default=(0, LARGEST), compare=False)

    def __str__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        if not self.arguments:
            return self.name
        if self.name in ("min", "max"):
            return f"{self.name}({', '.join(map(str, self.arguments))})"
        return self.name.join(map(_operand, self.arguments))


# Factors of a term, sorted; a power is a factor several times.
Factors: TypeAlias = tuple[Atom, ...]


@dataclass(frozen=True, repr=False)
class Expression:
    """A size that follows from named sizes: a sum of terms, each times its number.

    It has at least one term that is no number. Made by arithmetic, not by hand.
    """

    terms: tuple[tuple[Factors, int], ...]

    def __repr__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        text = ""
        for factors, count in self.terms:
            sign = "-" if count < 0 else "+"
            words = [str(abs(count))] if abs(count) != 1 or not factors else []
            several = len(factors) + len(words) > 1
            words += [_factor(a, several or count < 0) for a in factors]
            text += f" {sign} {'*'.join(words)}"
        return text[3:] if text.startswith(" + ") else "-" + text[3:]

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value, or a range around them."""
        low = high = 0
        for factors, count in self.terms:
            least = greatest = count
            for atom in factors:
                corners = [a * b for a in (least, greatest) for b in atom.bounds]
                least, greatest = min(corners), max(corners)
            low, high = low + least, high + greatest
        return low, high

    def __add__(self, other: Size) -> Size:
        terms = dict(self.terms)
        for factors, count in _terms(other).items():
            terms[factors] = terms.get(factors, 0) + count
        return _made(terms)

    def __mul__(self, other: Size) -> Size:
        terms: dict[Factors, int] = {}
        for factors, count in self.terms:
            for more, times in _terms(other).items():
                both = tuple(sorted((*factors, *more), key=str))
                terms[both] = terms.get(both, 0) + count * times
        return _made(terms)

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + -other

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __floordiv__(self, other: Size) -> Size:
        return floor_div(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return floor_div(other, self)

    def __mod__(self, other: Size) -> Size:
        return remainder(self, other)

    def __rmod__(self, other: Size) -> Size:
        return remainder(other, self)

    __radd__, __rmul__ = __add__, __mul__


Size: TypeAlias = int | Expression


def named(name: str, low: int = 0, high: int = LARGEST) -> Size:
    """A size that an input's shape binds, from low to high.

    Errors: SpecError where the name could not stand in an expression's text.
    """
    if not name.isidentifier() or iskeyword(name) or name in ("min", "max"):
        raise SpecError(f"a size may not be called {name!r}; use letters, digits and _")
    return low if low == high else _single(Atom(name, (), (low, high)))


def bounds(size: Size) -> tuple[int, int]:
    """The least and the greatest value, or a range around them."""
    return (size, size) if isinstance(size, int) else size.bounds


def equal(a: Size, b: Size) -> bool | None:
    """Whether two sizes are equal; None where that depends on the names."""
    low, high = bounds(a - b)
    return None if low <= 0 <= high and low != high else low == high == 0


def at_least(a: Size, b: Size) -> bool | None:
    """Whether a >= b; None where that depends on the names, or is not seen."""
    low, high = bounds(a - b)
    return True if low >= 0 else False if high < 0 else None


def holds_at_least(a: Size, b: Size) -> Size:
    """1 where a >= b, else 0, as a size."""
    return minimum(1, maximum(0, a - b + 1))


def ceil_div(a: Size, b: Size) -> Size:
    """The quotient, rounded up."""
    return -floor_div(-a, b) if isinstance(a, int) else floor_div(a + b - 1, b)


def floor_div(a: Size, b: Size) -> Size:
    """The quotient, rounded down. Errors: ZeroDivisionError for the number 0."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    whole, rest = _divided(a, b)
    rest, b, _ = _reduced(rest, b)
    (low, high), (least, most) = bounds(rest), bounds(b)
    if rest == 0:
        return whole
    if isinstance(b, int) and low // b == high // b:
        return whole + low // b
    if low >= 0 and at_least(b, rest + 1):
        return whole
    inner = _quotient_of(rest)
    if inner and isinstance(b, int):
        (x, divisor), more = inner
        return whole + floor_div(x + more * divisor, divisor * b)
    corners = [x // y for x in (low, high) for y in (least, most) if least > 0]
    far = max(abs(low), abs(high))
    found = (min(corners, default=-far), max(corners, default=far))
    return whole + _single(Atom("//", (rest, b), found))


def remainder(a: Size, b: Size) -> Size:
    """What a // b leaves, of b's sign. Errors: ZeroDivisionError for the number 0."""
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    rest, b, common = _reduced(_divided(a, b)[1], b)
    (low, high), (least, most) = bounds(rest), bounds(b)
    if isinstance(b, int) and low // b == high // b:
        return common * (rest - low // b * b)
    if rest == 0 or (low >= 0 and at_least(b, rest + 1)):
        return common * rest
    far = max(abs(least), abs(most)) - 1
    found = (0 if least > 0 else -far, min(high, far) if low >= 0 else far)
    return common * _single(Atom("%", (rest, b), found))


def minimum(*sizes: Size) -> Size:
    """The least of some sizes."""
    return _extreme("min", sizes, lambda a, b: at_least(a, b))


def maximum(*sizes: Size) -> Size:
    """The greatest of some sizes."""
    return _extreme("max", sizes, lambda a, b: at_least(b, a))


def product(sizes: tuple[Size, ...] | list[Size]) -> Size:
    """All of some sizes multiplied; 1 for none."""
    return reduce(lambda a, b: a * b, sizes, 1)


def evaluate(size: Size, known: Mapping[str, int]) -> int:
    """The number that a size is. Errors: KeyError for a name without a number."""
    if isinstance(size, int):
        return size
    return sum(n * prod(_value(a, known) for a in f) for f, n in size.terms)


def names(size: Size) -> set[str]:
    """The names that a size follows from."""
    terms = () if isinstance(size, int) else size.terms
    atoms = [atom for factors, _ in terms for atom in factors]
    inner = [names(argument) for atom in atoms for argument in atom.arguments]
    return {a.name for a in atoms if not a.arguments}.union(*inner)


def _value(atom: Atom, known: Mapping[str, int]) -> int:
    if not atom.arguments:
        return known[atom.name]
    return _apply(atom.name, *(evaluate(a, known) for a in atom.arguments))


_OPERATIONS: dict[str, Callable[..., Size]] = {
    **{"//": floor_div, "%": remainder, "min": minimum, "max": maximum}
}


def _apply(operation: str, *numbers: int) -> int:
    result = _OPERATIONS[operation](*numbers)
    assert isinstance(result, int)
    return result


def _single(atom: Atom) -> Expression:
    return Expression((((atom,), 1),))


def _terms(size: Size) -> dict[Factors, int]:
    return {(): size} if isinstance(size, int) else dict(size.terms)


def _order(factors: Factors) -> tuple[int, list[str]]:
    """The place of a term: most factors first, then by name."""
    return -len(factors), [str(a) for a in factors]


def _made(terms: Mapping[Factors, int]) -> Size:
    kept = {f: n for f, n in terms.items() if n}
    if set(kept) <= {()}:
        return kept.get((), 0)
    return Expression(tuple((f, kept[f]) for f in sorted(kept, key=_order)))


def _operand(size: Size) -> str:
    text = str(size)
    return text if text.isidentifier() or text.isdigit() else f"({text})"


def _factor(atom: Atom, within: bool) -> str:
    text = str(atom)
    return f"({text})" if within and atom.name in ("//", "%") else text


def _divided(a: Size, b: Size) -> tuple[Size, Size]:
    """(q, r) with a = q * b + r, r without multiples of b's first term."""
    (leading, count), *_ = _terms(b).items()
    quotient: Size = 0
    rest: Size = 0
    while a != 0:
        (factors, times), *_ = _terms(a).items()
        left = _without(factors, leading)
        # Of a number that is left over, what fills b goes too.
        whole = left is not None and (times % count == 0 or not factors)
        part = _made({left or (): times // count}) if whole else 0
        if part == 0:
            rest += _made({factors: times})
            a -= _made({factors: times})
        else:
            quotient += part
            a -= part * b
            if not factors:
                return quotient, rest + a
    return quotient, rest


def _reduced(a: Size, b: Size) -> tuple[Size, Size, Size]:
    """Both over the factors that all their terms have, and those factors."""
    terms = [*_terms(a).items(), *_terms(b).items()]
    shared = Counter(terms[0][0])
    for factors, _ in terms:
        shared &= Counter(factors)
    common = _made({tuple(shared.elements()): gcd(*(n for _, n in terms))})
    if a == 0 or common in (0, 1):
        return a, b, 1
    return _divided(a, common)[0], _divided(b, common)[0], common


def _without(factors: Factors, removed: Factors) -> Factors | None:
    """The factors of a quotient of two terms, or None where it is no term."""
    left = list(factors)
    for atom in removed:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def _quotient_of(size: Size) -> tuple[tuple[Size, int], int] | None:
    """((x, divisor), n) where the size is x // divisor + n."""
    terms = _terms(size)
    more = terms.pop((), 0)
    if list(terms.values()) != [1]:
        return None
    ((atom, *others),) = terms
    if others or atom.name != "//" or not isinstance(atom.arguments[1], int):
        return None
    return (atom.arguments[0], atom.arguments[1]), more


def _extreme(
    name: str, sizes: tuple[Size, ...], beyond: Callable[[Size, Size], bool | None]
) -> Size:
    """The size that no other is beyond, or an atom of those that are left."""
    kept: list[Size] = []
    for size in _spread(name, sizes):
        if any(beyond(size, other) for other in kept):
            continue
        kept = [other for other in kept if not beyond(other, size)] + [size]
    if len(kept) == 1:
        return kept[0]
    ends = [bounds(size) for size in kept]
    pick = min if name == "min" else max
    found = (pick(low for low, _ in ends), pick(high for _, high in ends))
    return _single(Atom(name, tuple(sorted(kept, key=str)), found))


def _spread(name: str, sizes: tuple[Size, ...]) -> list[Size]:
    """Some sizes, each atom of that name replaced by its arguments."""
    found: list[Size] = []
    for size in sizes:
        inner = size.terms if isinstance(size, Expression) else ()
        if len(inner) == 1 and inner[0][1] == 1 and len(inner[0][0]) == 1:
            atom = inner[0][0][0]
            found += atom.arguments if atom.name == name else (size,)
        else:
            found.append(size)
    return found
