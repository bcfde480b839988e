"""Work that is not trusted to end, to stay quiet or to stay alive: killable subprocesses with caps."""
