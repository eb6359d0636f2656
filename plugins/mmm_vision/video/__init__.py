"""Videos as frames for an encoder of images, and what it makes of them put together again."""
