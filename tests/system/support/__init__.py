"""Real servers for the system tests, and what it takes to start and stop them."""
