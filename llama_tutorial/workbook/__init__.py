"""The workbook: stubs to fill in, and a checker that names the mistake.

The tasks are those of the book's chapters. ``llama-tutorial workbook FOLDER`` writes a folder with
a notebook and a module for each chapter, :func:`check` says whether an answer is right, and
``llama-tutorial check FOLDER`` says so of a whole folder.
"""

from llama_tutorial.workbook.checker import Result as Result
from llama_tutorial.workbook.checker import check as check
