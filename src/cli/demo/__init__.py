"""`spork demo`: three small services, a gentle load, and what to try."""
