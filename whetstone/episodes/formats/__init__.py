"""Transcripts in and out of the formats that publishers and players use."""
