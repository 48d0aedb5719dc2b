"""SplitMix64 (Steele, Lea & Flood 2014) in plain Python, after its public C source: what counter_rng must equal."""

MASK = 2**64 - 1


def splitmix64(seed: int, n: int) -> list[int]:
    """The first n outputs of a generator that starts at `seed`, unsigned."""
    outputs, state = [], seed & MASK
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        outputs.append(z ^ (z >> 31))
    return outputs


def output(key: int, place: int) -> int:
    """The output at a place, counted from 0, without those before it."""
    return splitmix64(key + place * 0x9E3779B97F4A7C15, 1)[0]


def uniform(key: int, place: int) -> float:
    """The middle of that one of 2**23 equal intervals of (0, 1) which the output's highest bits name."""
    return ((output(key, place) >> 41) + 0.5) / 2**23
