"""What can be booked: clinics, specialties, doctors and their free slots."""
