"""The parts of scripts/run-tests. docs/testing.md says how to use it."""
