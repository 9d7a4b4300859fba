"""By what steps and tasks are recognised: fingerprints of code, values that code reaches, digests of inputs, keys."""
