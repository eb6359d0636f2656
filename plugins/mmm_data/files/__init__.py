"""Datasets that are files of yours: pictures, texts, sounds, videos, conversations, shards, tables."""
