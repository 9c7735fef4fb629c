"""Mailboxes: mbox and maildir seen as maildrops with exact sizes and stable identifiers."""
