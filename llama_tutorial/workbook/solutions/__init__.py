"""The workbook's answers: a Llama 2 of one's own parts, a module for each chapter."""
