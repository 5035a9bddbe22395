"""Klankbord's metrics: a few honest numbers, with what they were made of."""
