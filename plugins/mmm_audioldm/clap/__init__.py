"""The text half of CLAP."""
