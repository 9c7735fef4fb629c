"""What the directory can answer besides a result.

A rule that says no, a directory that cannot be asked, and a directory that
contradicts itself are three different things, and nobody may take one for
another: a failed lookup is not "unknown user".

The text of each is one printable line for an operator: foreign text in it is
escaped, and it never contains a password.
"""

from __future__ import annotations


class DirectoryError(Exception):
    """Anything the directory has to say instead of a result."""


class DirectoryUnavailable(DirectoryError):
    """The database cannot be reached, refused us, timed out, or is not set up."""


class DirectoryDown(DirectoryUnavailable):
    """The database is away, does not answer, or takes nobody in: asking again at once is no use."""


class DirectoryInconsistent(DirectoryError):
    """Rows contradict each other, for example two boxes with one address."""


class Refused(DirectoryError):
    """A rule forbids the operation; nothing was changed."""


class BadAddress(Refused):
    """A domain, local part, target, path or mailbox name cannot be used."""


class NotFound(Refused):
    """The domain, box or forwarder does not exist."""


class AlreadyThere(Refused):
    """The domain, box, forwarder or file exists already."""


class LimitReached(Refused):
    """The domain may not have more boxes."""
