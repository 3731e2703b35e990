"""Booking, moving, cancelling and following up appointments."""
