#!/usr/bin/env python3
"""A class for auth-python, which is a program for auth-other as well: users from a text file.

    auth-python-class: /usr/local/lib/auth_python.py:Accounts

or, as a process of its own under a user of its own,

    auth-other-program: /usr/local/lib/auth_python.py
    auth-other-user: tpop3d-auth

Each line of the file is NAME:PASSWORD:UNIX-USER:UNIX-GROUP[:MAILBOX], with the password in plain text,
which is what APOP needs.
"""

from __future__ import annotations

import hmac

from tpop3d_py.auth.program import Answer, AuthDriver, Request, apopauth

USERS = "/etc/tpop3d-users"


class Accounts(AuthDriver):
    """Asks the file, every time anew."""

    def passwd(self, request: Request) -> Answer:
        """Compare the password."""
        found = self._find(request["user"])
        right = found is not None and hmac.compare_digest(
            found[1].encode(), request["pass"].encode("utf-8", "surrogateescape")
        )
        return self._yes(found) if right else {"result": "NO"}

    def apop(self, request: Request) -> Answer:
        """Compare the digest."""
        found = self._find(request["user"])
        right = found is not None and apopauth(request["digest"], request["timestamp"], found[1])
        return self._yes(found) if right else {"result": "NO"}

    def onlogin(self, request: Request) -> Answer:
        """Log who comes from where."""
        return {"logmsg": f"{request['user']} from {request['clienthost']}"}

    def _find(self, user: str) -> list[str] | None:
        with open(USERS, encoding="utf-8") as file:
            lines = (line.rstrip("\n").split(":") for line in file)
            return next((words for words in lines if words[0] == user and len(words) >= 4), None)

    def _yes(self, words: list[str] | None) -> Answer:
        _, _, uid, gid, *mailbox = words or []
        return {"result": "YES", "uid": uid, "gid": gid, "mailbox": mailbox[0] if mailbox else None}


if __name__ == "__main__":
    Accounts().run()
