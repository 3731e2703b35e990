"""The health record: plans, prescriptions, lab tests and documents."""
