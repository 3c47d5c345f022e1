"""What nodes share through Redis: announcements, circuits, registrations, drains, events."""
