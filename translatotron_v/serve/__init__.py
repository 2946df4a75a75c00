"""A service that translates pictures over HTTP, and a page to look at; `translatotron-v serve` starts it."""
