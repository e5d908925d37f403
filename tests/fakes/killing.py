"""Programs that kill themselves at a given line of their log, because a test cannot time this from outside."""


def killed_at(words: str) -> str:
    """Return Python code that ends its process by SIGKILL once a line with these words is logged.

    Args:
        words: part of the line, without quotes.
    """
    return f"""
import logging, os, signal
emit = logging.StreamHandler.emit
def emit_and_end(handler, record):
    emit(handler, record)
    if "{words}" in record.getMessage():
        os.kill(os.getpid(), signal.SIGKILL)
logging.StreamHandler.emit = emit_and_end
"""
