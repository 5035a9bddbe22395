"""Asking platforms, and keeping connections to them: whatever kind of source it is."""
