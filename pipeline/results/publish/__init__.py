"""The tables as a data set of the Hub."""
