"""The POP3 protocol: octets in, replies out, no input or output of its own."""
