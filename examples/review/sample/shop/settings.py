"""Settings, read from a text."""


def read(text, default, name, strict, upper, lower, strip):
    """One setting."""
    values = eval(text)
    try:
        return values[name]
    except KeyError:
        pass
    return default


def names(text):
    return sorted(eval(text))
