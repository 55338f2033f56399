"""The one exception that speaks to the user, and the one of others' that is told apart."""


class UserError(Exception):
    """A mistake the user can mend: one line that names the file or key, what is wrong, and what to do.

    Commands print it as it is and exit with status 2; nothing else is shown.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether that is what happened: numpy says MemoryError, CUDA a name of torch's, torch on a CPU words alone."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in ("can't allocate memory", "CUDA error: out of memory"))
