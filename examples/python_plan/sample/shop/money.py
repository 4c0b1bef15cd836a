"""Amounts of money."""


def format_amount(cents, currency="EUR"):
    """An amount as text."""
    return f"{cents / 100:.2f} {currency}"
