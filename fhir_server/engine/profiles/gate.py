"""The one gate of profiles: what a resource must meet to be stored, by whatever door it comes.

By the setting `profile_validation`, for each type: `off` looks at nothing, `warn` tells and stores, `enforce` refuses.
What counts are the profiles that the resource claims and those that the setting `required_profiles` demands of its
type, the definitions of its extensions, and the codes of code systems that are here as a whole.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.engine.context import Context
from fhir_server.engine.profiles.checking import issues_of, profile_faults
from fhir_server.errors import Issue, Unprocessable
from fhir_server.r4.profiles.mentions import mentions_of
from fhir_server.store.resources.resources import Draft


class Nonconforming(Unprocessable):
    """A resource breaks a profile; in a transaction all such entries are told together."""


async def require_conforming(context: Context, draft: Draft) -> tuple[Issue, ...]:
    """Return what is told beside the success; raises Nonconforming where the policy refuses."""
    settings, resource = context.services.settings, draft.resource
    policy = settings.profile_policy(draft.type)
    if policy == "off" or resource is None:
        return ()
    required = settings.profiles_required.get(draft.type, ())
    content = context.services.profiles
    if not required and not content.calls_for_a_look(mentions_of(resource)):
        return ()
    faults = await profile_faults(context, dict(resource), profiles=required)
    errors = issues_of([each for each in faults if each.severity == "error"], draft.type)
    if errors and policy == "enforce":
        raise Nonconforming(issues=errors)
    return tuple(replace(each, severity="warning") for each in errors)
