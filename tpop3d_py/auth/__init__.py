"""Authentication: the chain of drivers and the stored password forms."""
