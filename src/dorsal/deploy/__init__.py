"""A trained model in the forms that runtimes are fast at: rewritten, exported, quantised, run. It measures nothing."""
