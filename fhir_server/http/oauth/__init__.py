"""OAuth, OpenID Connect and SMART App Launch over HTTP: endpoints for apps, pages for people."""
