"""What the command line does: a module for each theme, which adds its commands to the parser and runs them."""
