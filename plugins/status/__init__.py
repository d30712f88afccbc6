"""What this proxy says of itself to who comes by: its settings, its state, and a page for people."""
