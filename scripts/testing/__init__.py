"""What scripts/run-tests is made of. docs/testing.md says how to use it."""
