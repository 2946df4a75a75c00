"""Private characters that stand for something in a text on its way through text mode.

The vocabulary gives each an id of its own and writes it back as the same character, so that whoever masks a text and
whoever restores it need nothing but strings. Texts from outside never carry them: ``strip_marks`` sees to that.
"""

LITERALS = tuple(chr(0xE000 + index) for index in range(16))  # numbers, dates, addresses: what no language changes
TERM_OPEN, TERM_IS, TERM_CLOSE = "\ue010", "\ue011", "\ue012"  # source words, and the translation that is wanted
LOWER = "\ue013"  # before a source text: its translation is wanted in lower case

MARKS = (*LITERALS, TERM_OPEN, TERM_IS, TERM_CLOSE, LOWER)
_NOTHING = dict.fromkeys(map(ord, MARKS))


def strip_marks(text: str) -> str:
    """The text without any mark."""
    return text.translate(_NOTHING)
