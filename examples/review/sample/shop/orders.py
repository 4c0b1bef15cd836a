"""Orders and what they cost."""

import subprocess

COUNT = 0


def add(item, price, basket=[]):
    basket.append((item, price))
    return basket


def total(basket):
    """The sum of all prices."""
    try:
        return sum(price for _, price in basket)
    except:
        return 0


def number():
    global COUNT
    COUNT += 1
    return COUNT


def receipt(path):
    subprocess.run(f"lpr {path}", shell=True)
