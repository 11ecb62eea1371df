"""Models over HTTP in the shape of OpenAI's API: the routes under `/v1`."""
