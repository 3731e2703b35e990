"""Apps and services: what is registered of them, and how one proves who it is."""
