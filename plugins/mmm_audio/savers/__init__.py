"""Sound to files that carry their origin."""
