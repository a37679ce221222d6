"""What a page says, in words: facts in, texts out."""
