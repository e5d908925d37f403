"""One module per command of `brats-mm`.

Each module has two functions. `add(commands)` adds the command and its options to the parser. `run(options, console)`
runs the command with its parsed options, prints to the console, and returns the exit code.
"""
