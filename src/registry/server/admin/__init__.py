"""Administration under `/api/v1`, for who has the admin token, and `/ready`."""
