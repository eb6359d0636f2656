"""The nouns of the digits graphs as JSON, for review: `nouns` makes them, `update` writes them."""
