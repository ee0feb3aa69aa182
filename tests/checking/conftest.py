collect_ignore = ["targets"]
