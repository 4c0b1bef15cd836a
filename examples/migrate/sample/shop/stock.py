"""What is in the shop."""

from shop import money


def worth(amounts):
    """The worth of everything, in dollars."""
    return money.fmt(sum(amounts), "USD")


def cheapest(amounts):
    """The price that is shown in the window."""
    return "from " + money.fmt(min(amounts))
