"""Rows of a batch: which ones go on, and who owns them. `when: Bool[b]` is made of these ops."""
