"""Images and videos to files that carry their origin."""
