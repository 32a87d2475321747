"""The one exception whose text is meant for the person at the screen."""


class UserError(Exception):
    """Something the user can mend: says what happened, where (file, row, step) and what to do next.

    Caught once, at the edge: the page shows its sentence, a command prints it and exits with 2.
    """
