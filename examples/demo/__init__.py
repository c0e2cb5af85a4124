"""``make demo``: the main job on embedded defaults, nothing pretended but AWS (an emulator over HTTP)."""
