"""The training loop, its checkpoints and its reports. Nothing in this folder knows a system by name."""
