"""Conformance checks for any POP3 server: ``python -m tests.conformance --help``.

Needs Python 3.11 and this folder, nothing else; docs/conformance.md says how it is used and what it found.
"""
