"""Appointments and the slots they hold."""
