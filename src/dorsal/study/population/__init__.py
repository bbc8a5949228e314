"""Populations: networks drawn from design spaces and trained, some of them again at longer schedules."""
