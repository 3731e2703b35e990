"""`python -m fhir_server`: the same as the `fhir-server` command."""

from fhir_server.cli.main import main

if __name__ == "__main__":
    main()
