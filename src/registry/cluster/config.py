"""The Serve config file of a cluster."""
