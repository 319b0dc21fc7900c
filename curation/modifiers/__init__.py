"""Text in, text out: one file, one modifier."""
