"""Cards written from a run's record, and pushing a folder to the Hub in one commit."""
