"""`klankbord doctor`: what a support engineer would ask for, and what to do about it.

Facts are gathered by `bus`, `database`, `machine` and `services`, each from one place and without
changing anything. What to think of them is in the modules `…_checks`, which do no I/O. `examine`
puts the two together, in the order in which one would ask.
"""
