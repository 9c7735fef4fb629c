"""Configuration generators for the MTAs that share the virtualemail database."""
