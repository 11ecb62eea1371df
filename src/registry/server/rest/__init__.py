"""The catalogue as JSON: the routes under `/api`, and `/health`."""
