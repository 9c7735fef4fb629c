"""The rules: what may be done to the directory, for whoever asks, command or web page.

Every operation takes the `Directory` first and names as people write them; it
checks them, does its work in one transaction, and returns what a face needs to
tell the user.  `Refused` means that a rule said no and nothing was changed;
`DirectoryUnavailable` that the database could not be asked.
"""

from tpop3d_py.directory.operations.domains import (
    AddedDomain,
    DeletedDomain,
    Domain,
    add_domain,
    delete_domain,
    list_domains,
    set_domain_password,
    set_max_popbox,
    show_domain,
)
from tpop3d_py.directory.operations.forwarders import (
    AddedForwarder,
    Forwarder,
    add_forwarder,
    delete_forwarder,
    list_forwarders,
)
from tpop3d_py.directory.operations.passwords import stored_passwords
from tpop3d_py.directory.operations.popboxes import (
    AddedPopbox,
    Popbox,
    add_popbox,
    delete_popbox,
    list_popboxes,
    set_password,
    show_popbox,
)
from tpop3d_py.directory.operations.rules import check_password

__all__ = [
    "AddedDomain",
    "AddedForwarder",
    "AddedPopbox",
    "DeletedDomain",
    "Domain",
    "Forwarder",
    "Popbox",
    "add_domain",
    "add_forwarder",
    "add_popbox",
    "check_password",
    "delete_domain",
    "delete_forwarder",
    "delete_popbox",
    "list_domains",
    "list_forwarders",
    "list_popboxes",
    "set_domain_password",
    "set_max_popbox",
    "set_password",
    "show_domain",
    "show_popbox",
    "stored_passwords",
]
