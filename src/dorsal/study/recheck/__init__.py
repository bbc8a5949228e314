"""Some networks of a population trained again, to see whether its schedule was long enough."""
