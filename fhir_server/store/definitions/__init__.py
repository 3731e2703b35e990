"""Definitions that packages have brought, apart from the resources of the site.

Each type has a collection of its own (`ValueSet_defined`) whose documents look like those of stored resources, so that
searches read both alike; no history, no export and no write of the site touches it.
"""
