"""Nothing is wrong here."""


def double(number):
    """Twice a number."""
    return 2 * number
