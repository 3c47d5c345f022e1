"""The published OpenAPI document and its pages, on the data listener."""
