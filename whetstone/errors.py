"""The two ways a command ends badly, and the exit codes they map to (DESIGN law 9)."""


class UsageError(Exception):
    """The user can put it right: bad argument, missing file, unknown name. One line, exit code 2."""


class WorkFailed(Exception):
    """The work itself failed (NaN loss, full disk, broken task). One line, exit code 1; state was saved."""
