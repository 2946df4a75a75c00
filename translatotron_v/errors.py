"""What goes wrong through no fault of the code: the commands print such an error as one line and exit with status 2."""


class UserError(Exception):
    """A setting, a file or a request that cannot be used; the message names it and says what to do."""
