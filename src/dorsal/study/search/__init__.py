"""Search of design spaces with Optuna's samplers, and the winner handed over."""
