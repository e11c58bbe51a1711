"""Drivers: they carry out the commands of the relay, and do all the waiting."""
