"""The languages that events arrive in. Each module turns one of them into raw events under Tally's names.

Pure functions of bytes, headers and parsed JSON. What they return still has to pass `tally.event.parse_event`.
"""
