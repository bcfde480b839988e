"""From token ids to what a chat shows: text without half characters, stop strings, reasoning, tool calls."""
