"""What all forms have in common: colours, a fence around code, and how much is shown to people."""

SHOWN = 50
"""At most this many devices of one kind are listed for people; JSON holds all."""
GREEN, RED, YELLOW, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
BOLD, FAINT, CYAN = "\x1b[1m", "\x1b[2m", "\x1b[36m"
FENCE = "~~~~~~~~"
"""Around a block of code. An id may hold any character, but none as long as this begins a line of TOML."""
