def getVersion():
    return 13, 0
