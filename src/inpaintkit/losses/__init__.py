"""Losses: functions first, one idea per file. Each returns one unweighted scalar; weights stand in the schedule."""
