"""The variational auto-encoder and its training: no Ray, no Optuna, no YAML, no TensorBoard."""
