"""SQL on FHIR: a ViewDefinition makes rows of resources. https://sql-on-fhir.org/ig/

`compile_view` checks a definition and compiles it; `View.rows` is then pure and fast. `View.columns` says what the rows
hold, in their order.
"""

from fhir_server.r4.views.compiling import compile_view
from fhir_server.r4.views.view import Column, Row, View, ViewError

__all__ = ["Column", "Row", "View", "ViewError", "compile_view"]
