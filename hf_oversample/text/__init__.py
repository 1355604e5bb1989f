"""Words, tokens and edits of English and Chinese texts, all offline."""
