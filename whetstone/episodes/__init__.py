"""The episode reader: a conversation in, a page out, and every quote on it was really said."""
