"""The code systems in files that this process has open."""

from __future__ import annotations

from collections import OrderedDict

from fhir_server.store.terminology.files import VocabularyFiles
from fhir_server.vocabulary.mapped import MappedCodeSystem

_MOST = 32


class OpenVocabularies:
    """Opens each file once; those used longest ago are closed where there are many."""

    def __init__(self, files: VocabularyFiles) -> None:
        self.files = files
        self._open: OrderedDict[str, MappedCodeSystem] = OrderedDict()

    async def get(self, name: str) -> MappedCodeSystem:
        """Return the code system in the file of a name, fetched first where this machine has it not."""
        system = self._open.get(name)
        if system is None:
            system = self._open[name] = MappedCodeSystem(await self.files.path(name))
            if len(self._open) > _MOST:
                self._open.popitem(last=False)
        self._open.move_to_end(name)
        return system
