"""From a model's states to text and image tokens: reading, searching, drawing. No pictures, pages or losses."""
