"""Networks timed, and a model of latency fitted to them."""
