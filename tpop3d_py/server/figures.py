"""What is counted: every figure with its name, its sentence for operators and the values of its labels.

Names follow Prometheus: seconds, octets are called bytes there, counters end in ``_total``.  All label
values are listed here, none comes from a client: the number of time series is fixed.  What happens in a
process is added to its row of the `tally`; states such as the number of sessions are not counted but asked
for (see `metrics`).

When things fail: a value that is not listed counts as ``other``.
"""

from __future__ import annotations

from tpop3d_py.contracts import Mechanism, Reason, ResponseCode, Verdict
from tpop3d_py.pop3.session import Ending
from tpop3d_py.server.crossings import Limit
from tpop3d_py.server.tally import Layout

LAYOUT = Layout()
_counter, _histogram = LAYOUT.counter, LAYOUT.histogram

GRANTED = "granted"
#: Value of the label `code` for an ``-ERR`` without a response code.
NO_CODE = "none"
VERBS = (
    *("APOP", "AUTH", "CAPA", "DELE", "LANG", "LAST", "LIST", "NOOP", "PASS", "QUIT", "RETR", "RSET", "STAT"),
    *("STLS", "TOP", "UIDL", "USER", "UTF8"),
)
#: Ends of connections that the protocol knows nothing of, beside its own.
CROWDED_OUT = "closed to make room"
ENDINGS = (
    *("timed out", "kicked", "message broke off", "connection closed behind quit", "internal error"),
    *(CROWDED_OUT, "too many octets before a login"),
)
#: The ancestor's and ours; other packages' count as ``other``, and so does auth-other.
_DRIVERS = ("directory", "flatfile", "gdbm", "ldap", "mysql", "other", "pam", "passwd", "perl", "pgsql")

#: Seconds, from a cached login to a hung database.
_USUAL = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LENGTHS = (0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)

CONNECTIONS = _counter("pypop3d_connections_accepted_total", "Connections that were taken.")
CLOSED = _counter(
    "pypop3d_connections_closed_total",
    "Connections that ended, by reason.",
    reason=(*(ending.value for ending in Ending), *ENDINGS),
)
LOGINS = _counter(
    "pypop3d_logins_total",
    "Logins that were answered, by result, by the mechanism used and by the driver that vouched.",
    result=(GRANTED, *(reason.name.lower() for reason in Reason)),
    mechanism=tuple(mechanism.value for mechanism in Mechanism),
    driver=("none", *_DRIVERS, *(f"{driver}+cache" for driver in _DRIVERS)),
)
LOGIN_SECONDS = _histogram(
    "pypop3d_login_seconds",
    "Time from the last word of a login until its answer was known, the opening of the mailbox included "
    "and the delay of refusals left out.",
    _USUAL,
)
OPEN_SECONDS = _histogram("pypop3d_mailbox_open_seconds", "Time that opening a mailbox took.", _USUAL)
COMMANDS = _counter("pypop3d_commands_total", "Commands, by verb.", verb=VERBS)
COMMAND_SECONDS = _histogram(
    "pypop3d_command_seconds",
    "Time from a command until its answer began; QUIT includes the removal of messages.",
    _USUAL,
    verb=("QUIT", "RETR", "TOP", "LIST", "UIDL"),
)
ERRORS = _counter(
    "pypop3d_error_replies_total",
    "Answers -ERR, by response code (RFC 2449, RFC 3206).",
    code=(NO_CODE, *(code.value for code in ResponseCode)),
)
MISTAKES = _counter("pypop3d_client_mistakes_total", "Commands that were none, or not where they stood.")
RECEIVED = _counter("pypop3d_received_bytes_total", "Octets read from clients, counted at the end of each.")
SENT = _counter("pypop3d_sent_bytes_total", "Octets sent to clients, counted at the end of each.")
RETRIEVED = _counter("pypop3d_messages_retrieved_total", "Messages sent whole by RETR.")
RETRIEVED_OCTETS = _counter("pypop3d_messages_retrieved_bytes_total", "Their sizes together.")
DELETED = _counter("pypop3d_messages_deleted_total", "Messages removed by QUIT.")
SESSION_SECONDS = _histogram(
    "pypop3d_session_seconds", "How long sessions lasted that were logged in.", _LENGTHS
)
LIMITS_HIT = _counter(
    "pypop3d_limits_hit_total", "Clients refused at a limit.", limit=tuple(limit.value for limit in Limit)
)
THROTTLED = _counter(
    "pypop3d_throttled_logins_total",
    "Logins that had to wait before they were checked, and those of them that were refused unchecked.",
    outcome=("delayed", "refused"),
)
EVICTED = _counter("pypop3d_evictions_total", "Clients without a login that were closed to make room.")
CHECKS = _counter(
    "pypop3d_auth_checks_total",
    "Logins checked by the authentication processes, by verdict.",
    verdict=tuple(verdict.value for verdict in Verdict),
)
CHECK_SECONDS = _histogram(
    "pypop3d_auth_check_seconds", "Time that authentication processes took for one login.", _USUAL
)
SQL_QUERIES = _counter(
    "pypop3d_sql_queries_total", "Questions to the database, by outcome.", outcome=("ok", "failed")
)
SQL_SECONDS = _histogram("pypop3d_sql_seconds", "Time waited for the database, for each question.", _USUAL)
RESTARTS = _counter(
    "pypop3d_process_restarts_total",
    "Processes that died and were replaced, by what they were for.",
    role=("worker", "authenticator", "monitor", "mail"),
)
RELOADS = _counter(
    "pypop3d_reloads_total", "Readings of the settings after the first.", outcome=("ok", "failed")
)
LOST_LINES = _counter("pypop3d_log_lines_lost_total", "Log lines that could not be written.")
