"""Pictures of plans and runs: text for Graphviz and Mermaid, pages with inline SVG, Chrome trace events. No I/O."""
