"""JSON Schemas that the workbench publishes."""
