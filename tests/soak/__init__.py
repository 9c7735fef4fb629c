"""A long, hostile day for pypop3d: mixed clients, deliveries, reloads, killed processes; nothing may be lost.

`python -m tests.soak --minutes 15` runs it; the suite runs a minute of it.
"""
