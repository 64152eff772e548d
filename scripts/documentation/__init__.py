"""Makes documentation from the headers."""
