"""What a sweep finds for the epochs it trains: searches of several kinds on a surrogate of recorded learning curves."""
