"""Who tells people, and in which words: pure text here, sent by the floors above."""
