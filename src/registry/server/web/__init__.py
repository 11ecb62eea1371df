"""The pages: what they show, as plain values, and the templates that write them."""
