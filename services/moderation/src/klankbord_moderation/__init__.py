"""Klankbord moderation: labels posts, with reasons."""
