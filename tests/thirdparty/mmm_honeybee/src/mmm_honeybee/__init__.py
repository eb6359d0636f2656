"""An adaptor, a sampler and a loss for mmm_graph."""
