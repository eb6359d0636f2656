"""Graph files from the folders of diffusers' pipelines."""
