"""Images of services on a Docker Engine."""
