"""How fast a FHIR server is, and how near to the limit of its database: `python -m bench`, or `make bench`.

Closed-loop load over HTTP against any base URL; without one, against a server of this project that the bench starts.
The same run measures `bench.limit`, an application that does nothing but the database's part, so that figures are
ratios of one machine and hour.
"""
