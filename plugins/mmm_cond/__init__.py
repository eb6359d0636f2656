"""Small ops that put conditions of denoisers together."""
