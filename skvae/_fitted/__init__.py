"""The fitted model: what fitting leaves, and the answers that it gives about tables."""
