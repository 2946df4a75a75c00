"""The one exception users are meant to see."""


class UserError(Exception):
    """A mistake in what the user asked for or supplied; the message is one line that names it and its remedy."""
