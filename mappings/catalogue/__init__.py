"""Clinics, doctors, specialties and when they can be booked."""
