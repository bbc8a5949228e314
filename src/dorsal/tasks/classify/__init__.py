"""Image classification: `loss` and `metric`."""
