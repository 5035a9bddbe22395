"""Saved queries: what somebody listens for, wherever it is said."""
