"""The tiles of pictures of any size as one row of embeds for each picture."""
