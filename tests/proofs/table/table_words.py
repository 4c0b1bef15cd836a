"""What the program of the team plan is helped by."""


def question(text: str) -> str:
    return f"What of {text}?"
