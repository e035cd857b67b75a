"""Pure folds from events to state, and the runner that keeps them in PostgreSQL."""
