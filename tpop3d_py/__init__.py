"""tpop3d_py: POP3 and SQL virtual domains for people who host other people's mail."""

__version__ = "0.1.0"
