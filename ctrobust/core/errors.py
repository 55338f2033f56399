"""The one exception that speaks to the user."""


class UserError(Exception):
    """A mistake the user can mend: one line that names the file or key, what is wrong, and what to do.

    Commands print it as it is and exit with status 2; nothing else is shown.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
