"""The settings of what is carried out behind the scenes: exports, imports, and requests that are answered later."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class BulkSettings(BaseSettings):
    """What `Settings` has about them."""

    max_exports: int = Field(
        default=5,
        ge=1,
        description="Bulk exports of one client that are under way at once; as many imports, and requests answered "
        "later.",
    )
    max_async_seconds: float = Field(
        default=300, gt=0, description="Processor time of a request that is answered later (Prefer: respond-async)."
    )
    export_keep_hours: float = Field(
        default=24, gt=0, description="How long files of a bulk export and reports of an import are kept."
    )
    import_sources: str = Field(
        default="",
        description="https URLs, separated by commas, below which $import may fetch lines, such as "
        "https://bulk.example.org/exports/; none by default.",
    )
    max_import_bytes: int = Field(default=16 * 1024**3, ge=1, description="Bytes of one input of $import, unpacked.")

    @property
    def allowed_import_sources(self) -> tuple[str, ...]:
        """The URLs below which $import may fetch; each ends with a slash."""
        return tuple(f"{part.strip().rstrip('/')}/" for part in self.import_sources.split(",") if part.strip())
