"""A perceiver resampler: features as a fixed number of embeds."""
