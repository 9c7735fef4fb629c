"""Coverage-guided fuzzing: ``python -m tests.fuzz TARGET --seconds 600``; see docs/conformance.md."""
