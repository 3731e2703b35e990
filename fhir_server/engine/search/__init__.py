"""The search interaction: matches, includes, paging links."""
