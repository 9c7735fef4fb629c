"""The runtime: processes, connections, TLS, privileges and signals."""
