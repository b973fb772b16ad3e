"""What the process shows of itself: metrics, logs, and the masking of secrets in both.

Owns: names and labels of all metrics, the form of a log line, and that no secret is printed.
Must not: know where a figure comes from, or decide anything.
"""
