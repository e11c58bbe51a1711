"""The web page on which runs are watched and operated (extra ``web``); ``automa ui`` serves it."""
