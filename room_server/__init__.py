"""Live webinar rooms: hooks come in, the core decides, the state remembers, the channels tell."""
