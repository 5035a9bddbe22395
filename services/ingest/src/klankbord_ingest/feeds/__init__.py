"""Feeds: RSS, Atom, RDF and JSON Feed, polled and imported."""
