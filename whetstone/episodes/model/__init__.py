"""What a language model adds to a page. It proposes; the gates decide what is shown."""
