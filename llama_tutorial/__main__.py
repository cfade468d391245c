"""``python -m llama_tutorial`` is the command ``llama-tutorial``."""

from llama_tutorial.cli import program

if __name__ == "__main__":
    raise SystemExit(program())
