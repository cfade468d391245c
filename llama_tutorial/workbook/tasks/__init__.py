"""The workbook's tasks: what answers are tried on, and the mistakes that they are known by."""
