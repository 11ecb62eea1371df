"""Running the application on Ray: `registry serve --ray`."""
