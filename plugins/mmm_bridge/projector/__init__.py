"""Linear layers from features to embeds: LLaVA's projectors."""
