print("sipforkd")
