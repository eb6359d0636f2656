"""Images to files that carry their origin."""
