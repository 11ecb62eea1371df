"""Providers: Ollama, servers with OpenAI's API, and the records of this machine."""
