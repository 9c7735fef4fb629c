"""One file per authentication driver."""
