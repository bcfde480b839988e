"""Invented worlds, documents about them and questions: reading without knowing."""
