"""The tpop3d.conf language: files to typed settings, with every mistake reported at once."""

from tpop3d_py.config.grammar import Problem
from tpop3d_py.config.loader import ConfigError, Configuration, load

__all__ = ["ConfigError", "Configuration", "Problem", "load"]
