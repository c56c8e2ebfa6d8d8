"""What an operator does, by the command line or by the hooks of the site: one function for each act."""
