"""The stories: they join the rooms below and print nothing."""
