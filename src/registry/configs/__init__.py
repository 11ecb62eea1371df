"""The catalogue for other programs: configurations of llama-swap, llama.cpp's router and Ollama."""
