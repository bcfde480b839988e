"""One trainer, small objectives, rollouts, exact checkpoints."""
