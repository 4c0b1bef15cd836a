"""The shop's own tests."""

import unittest

from shop import basket, money, stock


class ShopTest(unittest.TestCase):
    def test_money(self):
        self.assertEqual(money.fmt(1250), "12.50 EUR")

        self.assertEqual(money.span(100, 200), "1.00 EUR to 2.00 EUR")

    def test_basket(self):
        self.assertEqual(basket.line("tea", 300, "CHF"), "tea: 3.00 CHF")
        self.assertEqual(basket.total([("tea", 300), ("pot", 1500)]), "18.00 EUR")
        self.assertEqual(basket.change(2000, 1800, "EUR"), "+2.00 EUR")

    def test_stock(self):
        self.assertEqual(stock.worth([100, 250]), "3.50 USD")
        self.assertEqual(stock.cheapest([300, 200]), "from 2.00 EUR")


if __name__ == "__main__":
    unittest.main()
