"""What a customer wants to buy."""

from shop.money import format_amount


def total(items):
    """The sum, as text."""
    return format_amount(sum(price for _, price in items))
