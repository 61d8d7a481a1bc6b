"""Pure decisions over nodes: building a graph, scheduling it, explaining it. No I/O, no clock."""
