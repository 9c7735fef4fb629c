"""The tpop3d.conf language: files to typed settings, with every mistake reported at once."""
