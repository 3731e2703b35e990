"""The hospital's 36 endpoints for its patient app: a facade that answers every one of them from FHIR resources.

`app` puts it together; `user`, `family`, `catalogue`, `booking`, `payment`, `clinic`, `follow_up`, `notifications`,
`history`, `treatment_plan`, `lab_tests`, `medicine` and `documents` hold the endpoints; `fhir` is how they reach FHIR,
in process or, by `remote`, on another server.
"""
