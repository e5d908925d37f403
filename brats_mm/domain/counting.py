"""Numbers with their nouns in sentences."""


def format_count(number: int, noun: str) -> str:
    """Return a number and its noun, such as `1 case` or `2 cases`.

    Args:
        number: the number.
        noun: the noun in the singular, whose plural ends in s.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
