print("sipforkctl")
