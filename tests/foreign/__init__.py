"""A toy of another library: its folders, and the plugin that reads them."""
