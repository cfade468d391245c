"""The workbook: stubs to fill in, and a checker that names the mistake."""
