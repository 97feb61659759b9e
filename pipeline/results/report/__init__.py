"""The report: static pages that open from disk."""
