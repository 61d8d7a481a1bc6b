"""The root side: a small process that holds TAPs, a bridge and firewall rules for one owner, who is not trusted.

It takes ids and small numbers, never a name or a path; derives what it touches from them; writes down what it is about
to do; and refuses everything else. It imports nothing of banger outside of this package, and runs no program.
"""
