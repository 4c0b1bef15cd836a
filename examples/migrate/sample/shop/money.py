"""Amounts of money."""


def fmt(cents, currency="EUR", signed=False):
    """An amount as text."""
    sign = "+" if signed and cents > 0 else ""
    return f"{sign}{cents / 100:.2f} {currency}"


def span(low, high):
    """A range of prices."""
    return f"{fmt(low)} to {fmt(high)}"
