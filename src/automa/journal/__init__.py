"""Journals: the records of a run as data, what they tell of it, and who may carry it on."""
