"""Graphs under plans of many ranks against one device and against each other."""
