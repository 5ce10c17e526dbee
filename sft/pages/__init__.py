"""HTML pages for people: one self-contained file each, nothing fetched, everything in them escaped."""
