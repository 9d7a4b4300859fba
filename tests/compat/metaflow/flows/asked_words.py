WORD = "a word of a sibling"
