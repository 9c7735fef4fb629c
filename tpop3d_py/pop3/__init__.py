"""The POP3 protocol: octets in, replies out, no input or output of its own.

The runtime feeds a `LineBuffer`, hands its lines to a `Session`, and sends what
`encode` makes of each `Reply`.  `Profile` is what a listener settles for its sessions.
"""

from tpop3d_py.pop3.counters import Counters
from tpop3d_py.pop3.lines import COMMAND_LIMIT, TOO_LONG, Expected, LineBuffer, TooLong
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.replies import LARGE_PIECE, Outgoing, Reply, Then, encode
from tpop3d_py.pop3.session import Ending, Session
from tpop3d_py.pop3.texts import Texts
from tpop3d_py.pop3.texts_en import CLASSIC, POLITE
from tpop3d_py.pop3.texts_pl import POLISH

__all__ = [
    "CLASSIC",
    "COMMAND_LIMIT",
    "LARGE_PIECE",
    "POLISH",
    "POLITE",
    "TOO_LONG",
    "Counters",
    "Ending",
    "Expected",
    "LineBuffer",
    "Outgoing",
    "Profile",
    "Reply",
    "Session",
    "Texts",
    "Then",
    "TooLong",
    "encode",
]
