"""Is everything there that a night needs: asked of the outside world, never changing it."""
