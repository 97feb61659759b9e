"""What people get: the database, the terminal, the report, exports and data sets."""
