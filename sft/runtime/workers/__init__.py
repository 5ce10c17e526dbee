"""Small programs that other interpreters run: the trainer's, the server's. They are started as files and import
nothing of `sft`.
"""
