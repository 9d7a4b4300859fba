"""The nouns: frozen records, ids, transition tables, errors and messages. No input or output."""
