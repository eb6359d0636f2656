"""Text to sound: CLAP's text encoder, a vocoder, and what lies between."""
