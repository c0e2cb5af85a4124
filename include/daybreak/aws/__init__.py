"""AWS: sessions and clients, patience with throttling, batches, and a journal of every call."""
