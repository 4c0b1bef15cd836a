"""Contract suites: what an implementation of a port must do, as pytest classes open to outsiders.

Subclass one, override its fixture, and let pytest collect the subclass. The tests are coroutines: run them under
pytest-asyncio in `auto` mode.
"""
