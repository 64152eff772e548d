"""What makes documentation out of the headers."""
