"""Search and orchestration: Optuna proposes, Ray Tune schedules, the ledger remembers."""
