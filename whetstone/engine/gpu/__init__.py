"""Steps on a GPU: CUDA graphs for decoding, paged attention, fused kernels (see `runner` and docs/gpu.md)."""
