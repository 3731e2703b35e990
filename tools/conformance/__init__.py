"""A comparison of this server's validation with HL7's own validator: `make conformance`."""
