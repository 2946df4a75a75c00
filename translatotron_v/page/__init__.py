"""What is not language about a page: its lines and blocks, its ink, and how a translation gets back onto it."""
