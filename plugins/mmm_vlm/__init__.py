"""Graph files of language models, with eyes or without, from the folders of transformers and of LLaVA."""
