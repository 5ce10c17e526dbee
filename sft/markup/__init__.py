"""Text ↔ structure, pure and typed: tables, formulas, charts and plain text. Converters, checks and metrics share it."""
