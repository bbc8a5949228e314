"""Networks compared under the same recipes and seeds."""
