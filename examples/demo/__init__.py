"""``make demo``: the main job on embedded defaults, with nothing pretended but AWS (an emulator over HTTP)."""
