"""Sends the message of a job by task name; imports no task."""
