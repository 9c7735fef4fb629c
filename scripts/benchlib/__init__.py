"""What scripts/bench consists of: mail and accounts, servers, load, meters, report."""
