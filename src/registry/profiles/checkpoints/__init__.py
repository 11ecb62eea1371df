"""The provider `transformers`: Hugging Face checkpoints in this process, in slots, with unsloth where it is."""
