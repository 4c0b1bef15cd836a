"""What a customer wants to buy."""

from shop.money import fmt


def line(name, cents, currency):
    """One line of a receipt."""
    return f"{name}: " + fmt(cents, currency)


def total(items):
    """The sum, as text."""
    cents = sum(price for _, price in items)
    return fmt(cents)


def change(paid, due, currency):
    """What the customer gets back."""
    back = paid - due
    # fmt with a sign, since it may be negative
    return fmt(back, currency, True)
