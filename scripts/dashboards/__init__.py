"""Grafana's dashboards, as code: one module for each, one style for all of their panels."""
